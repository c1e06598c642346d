// The limit of this machine for one large object: it moves the bytes, and does nothing else that a client of S3 does.
// No listing, no signature, no retry, no Python. Part of rolerunner, under its licence (LICENSE).
//
//   yardstick get|put HOST PORT PATH SIZE FILE   PATH: the object to read, or the one to write
//   -t threads (4)   -r bytes of a range or part (16 MiB)   -b bytes of a block (1 MiB)
//   -T: TLS, unverified   -c: CRC32 of every byte   -n: a download is not written
//
// A thread has one connection. Downloads are written by pwrite. Uploads are sent by sendfile, after a read for the CRC32;
// over TLS by pread and SSL_write, and the CRC32 is computed meanwhile.
// Build: cc -O2 -o yardstick yardstick.c -lssl -lcrypto -lz -lpthread
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int g_put, g_threads = 4, g_crc, g_drop, g_file;
static uint64_t g_size, g_range = 16 << 20, g_block = 1 << 20;
static const char *g_host, *g_path;
static struct sockaddr_in g_address;
static SSL_CTX *g_tls;
static _Atomic uint64_t g_next;

typedef struct {
  int fd;
  SSL *ssl;
  unsigned char *block;
} peer;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

#if defined(__x86_64__)
// Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009:
// four lanes of 16 bytes are folded; zlib takes what is left of them.
__attribute__((target("pclmul,sse4.1"))) static uint32_t fold(uint32_t crc, const unsigned char *data, uint64_t *done,
                                                              uint64_t length) {
  const __m128i by_64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  __m128i lane[4];
  for (int i = 0; i < 4; i++)
    lane[i] = _mm_loadu_si128((const __m128i *)(data + 16 * i));
  lane[0] = _mm_xor_si128(lane[0], _mm_cvtsi32_si128((int)~crc));
  uint64_t at = 64;
  for (; at + 64 <= length; at += 64)
    for (int i = 0; i < 4; i++)
      lane[i] = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(lane[i], by_64, 0x00),
                                            _mm_clmulepi64_si128(lane[i], by_64, 0x11)),
                              _mm_loadu_si128((const __m128i *)(data + at + 16 * i)));
  *done = at;
  return (uint32_t)crc32(~0u, (const unsigned char *)lane, 64); // from a register of zero
}
#endif

static uint32_t crc(uint32_t before, const unsigned char *data, uint64_t length) {
#if defined(__x86_64__)
  uint64_t done = 0;
  if (length >= 128 && __builtin_cpu_supports("pclmul")) {
    before = fold(before, data, &done, length);
    data += done;
    length -= done;
  }
#endif
  return (uint32_t)crc32(before, data, length);
}

static ssize_t take(peer *to, void *data, size_t length, int flags) {
  return to->ssl ? SSL_read(to->ssl, data, (int)length) : recv(to->fd, data, length, flags);
}

static void give(peer *to, const unsigned char *data, size_t length) {
  while (length) {
    ssize_t sent = to->ssl ? SSL_write(to->ssl, data, (int)length) : send(to->fd, data, length, MSG_NOSIGNAL);
    if (sent <= 0)
      fail("send");
    data += sent;
    length -= sent;
  }
}

// Reads a response's head; returns the bytes of its body that came with it, at the start of the block.
static size_t head(peer *to) {
  size_t got = 0;
  for (;;) {
    ssize_t count = take(to, to->block + got, g_block - 1 - got, 0);
    if (count <= 0)
      fail("no response");
    got += count;
    to->block[got] = 0;
    char *end = memmem(to->block, got, "\r\n\r\n", 4);
    if (!end)
      continue;
    if (memcmp(to->block, "HTTP/1.1 20", 11)) {
      fprintf(stderr, "%s\n", to->block);
      exit(1);
    }
    size_t rest = got - ((unsigned char *)end + 4 - to->block);
    memmove(to->block, end + 4, rest);
    return rest;
  }
}

static void get_range(peer *to, uint64_t start, uint64_t length) {
  char request[1024];
  int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%llu-%llu\r\n\r\n", g_path,
                   g_host, (unsigned long long)start, (unsigned long long)(start + length - 1));
  give(to, (unsigned char *)request, n);
  uint32_t sum = 0;
  size_t held = head(to);
  for (uint64_t at = start, end = start + length; at < end;) {
    size_t wanted = end - at < g_block ? end - at : g_block;
    while (held < wanted) {
      ssize_t count = take(to, to->block + held, wanted - held, MSG_WAITALL);
      if (count <= 0)
        fail("receive");
      held += count;
    }
    if (g_crc)
      sum = crc(sum, to->block, held);
    if (!g_drop && pwrite(g_file, to->block, held, at) != (ssize_t)held)
      fail("pwrite");
    at += held;
    held = 0;
  }
}

static size_t read_block(peer *to, uint64_t at, uint64_t end, uint32_t *sum) {
  ssize_t count = pread(g_file, to->block, end - at < g_block ? end - at : g_block, at);
  if (count <= 0)
    fail("pread");
  if (g_crc)
    *sum = crc(*sum, to->block, count);
  return count;
}

static void put_part(peer *to, uint64_t start, uint64_t length) {
  char request[1024];
  uint32_t sum = 0;
  for (uint64_t at = start, end = start + length; g_crc && !to->ssl && at < end;)
    at += read_block(to, at, end, &sum);
  int n = snprintf(request, sizeof request,
                   "PUT %s?partNumber=%llu&uploadId=y HTTP/1.1\r\nHost: %s\r\nContent-Length: %llu\r\n"
                   "x-crc: %08x\r\n\r\n",
                   g_path, (unsigned long long)(start / g_range + 1), g_host, (unsigned long long)length, sum);
  give(to, (unsigned char *)request, n);
  for (uint64_t at = start, end = start + length; at < end;) {
    off_t from = at;
    ssize_t count = to->ssl ? (ssize_t)read_block(to, at, end, &sum)
                            : sendfile(to->fd, g_file, &from, end - at < g_block ? end - at : g_block);
    if (count <= 0)
      fail("sendfile");
    if (to->ssl)
      give(to, to->block, count);
    at += count;
  }
  head(to);
}

static void *work(void *nothing) {
  int one = 1, low = 1 << 20;
  peer to = {.fd = socket(AF_INET, SOCK_STREAM, 0), .block = malloc(g_block)};
  setsockopt(to.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(to.fd, (struct sockaddr *)&g_address, sizeof g_address))
    fail("connect");
  setsockopt(to.fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low); // makes room for twice as much, see tcp_set_rcvlowat
  setsockopt(to.fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  if (g_tls) {
    to.ssl = SSL_new(g_tls);
    SSL_set_fd(to.ssl, to.fd);
    if (SSL_connect(to.ssl) != 1)
      fail("TLS");
  }
  for (uint64_t at; (at = atomic_fetch_add(&g_next, g_range)) < g_size;)
    (g_put ? put_part : get_range)(&to, at, g_size - at < g_range ? g_size - at : g_range);
  close(to.fd);
  return nothing;
}

int main(int argc, char **argv) {
  int secure = 0;
  for (int option; (option = getopt(argc, argv, "t:r:b:Tcn")) != -1;)
    switch (option) {
    case 't':
      g_threads = atoi(optarg);
      break;
    case 'r':
      g_range = strtoull(optarg, 0, 10);
      break;
    case 'b':
      g_block = strtoull(optarg, 0, 10);
      break;
    case 'T':
      secure = 1;
      break;
    case 'c':
      g_crc = 1;
      break;
    case 'n':
      g_drop = 1;
      break;
    default:
      return 2;
    }
  if (argc - optind != 6 || g_threads < 1 || g_threads > 256 || g_block < 4096 || !g_range)
    return fprintf(stderr, "usage: yardstick [options] get|put HOST PORT PATH SIZE FILE\n"), 2;
  argv += optind;
  g_put = !strcmp(argv[0], "put");
  g_host = argv[1];
  g_path = argv[3];
  g_size = strtoull(argv[4], 0, 10);
  g_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  if (!inet_aton(g_host, &g_address.sin_addr))
    fail(g_host);
  g_file = g_put ? open(argv[5], O_RDONLY) : open(argv[5], O_RDWR | O_CREAT | O_TRUNC, 0666);
  if (g_file < 0)
    fail(argv[5]);
  signal(SIGPIPE, SIG_IGN);
  unsigned char probe[300];
  for (int i = 0; i < 300; i++)
    probe[i] = i * 7;
  if (crc(5, probe, 300) != crc32(5, probe, 300))
    return fprintf(stderr, "the CRC32 is wrong\n"), 1;
  if (secure)
    g_tls = SSL_CTX_new(TLS_client_method());
  pthread_t threads[256];
  for (int i = 0; i < g_threads; i++)
    pthread_create(&threads[i], 0, work, 0);
  for (int i = 0; i < g_threads; i++)
    pthread_join(threads[i], 0);
  return 0;
}
