// An S3 that does not stand in the way: it answers at almost no cost of its own, so that a benchmark shows what the
// client costs. Nothing is stored, no signature is checked. Part of rolerunner, under its licence (LICENSE).
//
// Buckets:
//   b-<count>-<size>   to read: <count> keys data/obj-%08d.bin of <size> bytes
//   l-<count>-<size>   the same with long keys such as Spark writes them, for listings
//   v-<count>-<mean>   the same as b, with the sizes of -s
//   any other          to write: uploads are read and dropped; of each key its size and ETag are kept
//   -                  GET /-/counts: what was done since it was last asked, "gets puts copies deletes keys bytes_in"
// POST / is STS: AssumeRole gives a session of the role r in the account 123456789012.
//
// Options: -a address -p port -t threads; -T -c certificate -k key: TLS; -d milliseconds before each answer;
//          -l milliseconds before a page of a listing; -b MB/s a connection sends at most; -v, -vv: requests, headers
//          -s sizes in thousandths of the mean, with commas: key i of a bucket v has the size i modulo their number
//
// Plain HTTP copies no byte of a body: sendfile from a memfd, recv with MSG_TRUNC.
// Build: cc -O2 -o s3null s3null.c -lssl -lcrypto -lz -lpthread
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define PAT (32u << 20)
#define INSZ 65536
#define BIGBUF (1 << 20)
static int g_port = 9000, g_threads = 1, g_tls, g_delay, g_ldelay = -1, g_verbose;
static double g_bw;
static unsigned g_sizes[64], g_nsizes;
static const char *g_cert, *g_key, *g_addr = "127.0.0.77";
static int patfd;
static unsigned char *pat;
static SSL_CTX *ctx;
static _Atomic uint64_t n_gets, n_puts, n_copies, n_deletes, n_keys, n_in; // since GET /-/counts was last asked

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

// ---------- tiny hash of written keys / uploads ----------
typedef struct ent {
  char *k;
  uint64_t size;
  char etag[48];
  struct ent *n;
} ent;

#define HB 65536
static ent *htab[HB];
static pthread_mutex_t hm = PTHREAD_MUTEX_INITIALIZER;

static unsigned hsh(const char *s) {
  unsigned h = 5381;
  while (*s)
    h = h * 33 ^ (unsigned char)*s++;
  return h & (HB - 1);
}

static int hget(const char *k, uint64_t *sz, char *et) {
  int r = 0;
  pthread_mutex_lock(&hm);
  for (ent *e = htab[hsh(k)]; e; e = e->n)
    if (!strcmp(e->k, k)) {
      *sz = e->size;
      if (et)
        strcpy(et, e->etag);
      r = 1;
      break;
    }
  pthread_mutex_unlock(&hm);
  return r;
}

static void hput(const char *k, uint64_t sz, const char *et, int add) {
  pthread_mutex_lock(&hm);
  unsigned h = hsh(k);
  ent *e;
  for (e = htab[h]; e; e = e->n)
    if (!strcmp(e->k, k))
      break;
  if (!e) {
    e = calloc(1, sizeof *e);
    e->k = strdup(k);
    e->n = htab[h];
    htab[h] = e;
  }
  e->size = add ? e->size + sz : sz;
  if (et)
    snprintf(e->etag, sizeof e->etag, "%s", et);
  pthread_mutex_unlock(&hm);
}

static void hdel(const char *k) {
  pthread_mutex_lock(&hm);
  ent **p = &htab[hsh(k)];
  for (; *p; p = &(*p)->n)
    if (!strcmp((*p)->k, k)) {
      ent *e = *p;
      *p = e->n;
      free(e->k);
      free(e);
      break;
    }
  pthread_mutex_unlock(&hm);
}

// ---------- what is told of an object: MD5 and CRC32 of the first bytes of the pattern, repeated ----------
typedef struct {
  uint64_t size;
  char md5[40];
  char crc32[16];
} meta;

static meta metas[64];
static int nmeta;
static pthread_mutex_t mm = PTHREAD_MUTEX_INITIALIZER;

static void b64(const unsigned char *in, int n, char *out) {
  EVP_EncodeBlock((unsigned char *)out, in, n);
}

static meta *getmeta(uint64_t size) {
  pthread_mutex_lock(&mm);
  for (int i = 0; i < nmeta; i++)
    if (metas[i].size == size) {
      pthread_mutex_unlock(&mm);
      return &metas[i];
    }
  meta *m = &metas[nmeta < 63 ? nmeta++ : 63];
  m->size = size;
  unsigned char d[32];
  unsigned dl;
  uint32_t c = crc32(0, 0, 0);
  EVP_MD_CTX *x = EVP_MD_CTX_new();
  EVP_DigestInit(x, EVP_md5());
  for (uint64_t o = 0; o < size;) {
    uint64_t n = size - o;
    if (n > PAT)
      n = PAT;
    if (size <= PAT)
      EVP_DigestUpdate(x, pat, n);
    c = crc32(c, pat, n);
    o += n;
  }
  EVP_DigestFinal(x, d, &dl);
  EVP_MD_CTX_free(x);
  if (size <= PAT)
    for (int i = 0; i < 16; i++)
      sprintf(m->md5 + 2 * i, "%02x", d[i]);
  else
    snprintf(m->md5, sizeof m->md5, "0123456789abcdef0123456789abcdef-%u",
             (unsigned)((size + (8 << 20) - 1) / (8 << 20)));
  unsigned char cb[4] = {c >> 24, c >> 16, c >> 8, c};
  b64(cb, 4, m->crc32);
  pthread_mutex_unlock(&mm);
  return m;
}

// ---------- connection ----------
typedef struct conn {
  int fd;
  SSL *ssl;
  int hs;
  char in[INSZ];
  int inlen;
  uint32_t ev;
  // request
  char method[8], path[2048], query[2048], copysrc[1024], range[64], cpr[64], md5[64];
  int expect, chunked, cksum, close_;
  uint64_t clen, decoded;
  int have_decoded;
  int st; // 0 headers 1 body 2 wait-delay 3 sending
  uint64_t bleft;
  char *body; // of a batch of deletions: its keys are in the answer
  uint64_t bodylen;
  int ck_st;
  uint64_t ck_left;
  char trailer[64]; // the last line after a chunked body
  int trailerlen;
  char *out;
  int outlen, outoff, outcap;
  uint64_t doff, dleft;
  uint64_t due;
  int heapi;
} conn;

typedef struct {
  int ep;
  conn **heap;
  int hn, hcap;
  unsigned char *big;
} loop;

static void heap_swap(loop *l, int a, int b) {
  conn *t = l->heap[a];
  l->heap[a] = l->heap[b];
  l->heap[b] = t;
  l->heap[a]->heapi = a;
  l->heap[b]->heapi = b;
}

static void heap_push(loop *l, conn *c) {
  if (l->hn == l->hcap) {
    l->hcap = l->hcap ? l->hcap * 2 : 256;
    l->heap = realloc(l->heap, l->hcap * sizeof *l->heap);
  }
  l->heap[l->hn] = c;
  c->heapi = l->hn++;
  int i = c->heapi;
  while (i && l->heap[(i - 1) / 2]->due > l->heap[i]->due) {
    heap_swap(l, i, (i - 1) / 2);
    i = (i - 1) / 2;
  }
}

static void heap_fix(loop *l, int i) {
  while (i && l->heap[(i - 1) / 2]->due > l->heap[i]->due) {
    heap_swap(l, i, (i - 1) / 2);
    i = (i - 1) / 2;
  }
  for (;;) {
    int m = i, a = 2 * i + 1, b = a + 1;
    if (a < l->hn && l->heap[a]->due < l->heap[m]->due)
      m = a;
    if (b < l->hn && l->heap[b]->due < l->heap[m]->due)
      m = b;
    if (m == i)
      break;
    heap_swap(l, i, m);
    i = m;
  }
}

static void heap_del(loop *l, conn *c) {
  int i = c->heapi;
  if (i < 0)
    return;
  c->heapi = -1;
  conn *last = l->heap[--l->hn];
  if (last != c) {
    l->heap[i] = last;
    last->heapi = i;
    heap_fix(l, i);
  }
}

static void setev(loop *l, conn *c, uint32_t ev) {
  if (c->ev == ev)
    return;
  c->ev = ev;
  struct epoll_event e = {.events = ev, .data.ptr = c};
  epoll_ctl(l->ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void closec(loop *l, conn *c) {
  heap_del(l, c);
  if (c->ssl)
    SSL_free(c->ssl);
  close(c->fd);
  free(c->out);
  free(c->body);
  free(c);
}

static void outadd(conn *c, const char *s, int n) {
  if (c->outlen + n + 1 > c->outcap) {
    c->outcap = (c->outlen + n + 1) * 2;
    c->out = realloc(c->out, c->outcap);
  }
  memcpy(c->out + c->outlen, s, n);
  c->outlen += n;
}

static void resp(conn *c, const char *status, const char *extra, const char *ctype, const char *body, int blen) {
  char h[2048];
  int n = snprintf(h, sizeof h,
                   "HTTP/1.1 %s\r\nx-amz-id-2: 0123456789abcdef0123456789abcdef0123456789abcdef\r\nx-amz-request-id: "
                   "0123456789ABCDEF\r\nDate: Tue, 01 Oct 2024 00:00:00 GMT\r\nServer: "
                   "AmazonS3\r\n%s%s%s%sContent-Length: %d\r\n%s\r\n",
                   status, extra ? extra : "", ctype ? "Content-Type: " : "", ctype ? ctype : "", ctype ? "\r\n" : "",
                   blen, c->close_ ? "Connection: close\r\n" : "");
  outadd(c, h, n);
  if (blen && strcmp(c->method, "HEAD"))
    outadd(c, body, blen);
}

static void err(conn *c, const char *status, const char *code) {
  char b[512];
  int n = snprintf(b, sizeof b,
                   "<?xml version=\"1.0\" "
                   "encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>0</RequestId></Error>",
                   code, code);
  resp(c, status, 0, "application/xml", b, n);
}

static void urldec(char *s) {
  char *o = s;
  for (; *s; s++) {
    if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
      char h[3] = {s[1], s[2], 0};
      *o++ = strtol(h, 0, 16);
      s += 2;
    } else
      *o++ = *s;
  }
  *o = 0;
}

static int qget(const char *q, const char *k, char *v, int vn) {
  int kl = strlen(k);
  for (const char *p = q; p && *p;) {
    const char *e = strchr(p, '&');
    int n = e ? e - p : (int)strlen(p);
    if (n >= kl && !strncmp(p, k, kl) && (n == kl || p[kl] == '=')) {
      int m = n > kl ? n - kl - 1 : 0;
      if (m >= vn)
        m = vn - 1;
      memcpy(v, p + kl + 1, m);
      if (n == kl)
        m = 0;
      v[m] = 0;
      for (char *x = v; *x; x++)
        if (*x == '+')
          *x = ' ';
      urldec(v);
      return 1;
    }
    p = e ? e + 1 : 0;
  }
  return 0;
}

static int virt(const char *bucket, uint64_t *cnt, uint64_t *size, int *longk) {
  unsigned long long a, b;
  char t;
  if (sscanf(bucket, "%c-%llu-%llu", &t, &a, &b) == 3 && (t == 'b' || t == 'l' || (t == 'v' && g_nsizes))) {
    *cnt = a;
    *size = b;
    *longk = t == 'l';
    return 1;
  }
  return 0;
}

static uint64_t nth_size(const char *bucket, uint64_t mean, uint64_t i) {
  return *bucket == 'v' ? mean * g_sizes[i % g_nsizes] / 1000 : mean;
}

static int mkkey(char *o, uint64_t i, int lk) {
  return lk ? sprintf(o, "data/part-%08llu-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.c000.snappy.parquet",
                      (unsigned long long)i)
            : sprintf(o, "data/obj-%08llu.bin", (unsigned long long)i);
}

static int64_t keyidx(const char *k, int lk) {
  unsigned long long i;
  char t[256];
  if (sscanf(k, lk ? "data/part-%llu-" : "data/obj-%llu.bin", &i) != 1)
    return -1;
  mkkey(t, i, lk);
  return strcmp(t, k) ? -1 : (int64_t)i;
}

// The first index whose key is greater than k (or starts with it, or is greater: at_least). Keys are in their order.
static uint64_t after(const char *k, uint64_t cnt, int lk, int at_least) {
  uint64_t low = 0, high = cnt;
  char t[256];
  while (low < high) {
    uint64_t mid = low + (high - low) / 2;
    mkkey(t, mid, lk);
    int d = strcmp(t, k);
    if (d > 0 || (at_least && d == 0))
      high = mid;
    else
      low = mid + 1;
  }
  return low;
}

static void do_list(conn *c, const char *bucket, int v2) {
  char tok[512] = "", pre[1024] = "", delim[16] = "", mk[8] = "", et[8] = "";
  qget(c->query, v2 ? "continuation-token" : "marker", tok, sizeof tok);
  if (v2 && !*tok)
    qget(c->query, "start-after", tok, sizeof tok);
  qget(c->query, "prefix", pre, sizeof pre);
  qget(c->query, "delimiter", delim, sizeof delim);
  int max = 1000;
  if (qget(c->query, "max-keys", mk, sizeof mk))
    max = atoi(mk);
  if (max > 1000)
    max = 1000;
  int enc = qget(c->query, "encoding-type", et, sizeof et);
  uint64_t cnt, size;
  int lk;
  static __thread char *buf;
  if (!buf)
    buf = malloc(2 << 20);
  int n = 0;
  n += sprintf(
      buf,
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>%s</Name><Prefix>%s</Prefix>%s%s<MaxKeys>%d</MaxKeys>",
      bucket, pre, v2 ? "" : "<Marker></Marker>", enc ? "<EncodingType>url</EncodingType>" : "", max);
  if (*delim)
    n += sprintf(buf + n, "<Delimiter>%s</Delimiter>", delim);
  if (!virt(bucket, &cnt, &size, &lk)) {
    n += sprintf(buf + n, "%s<IsTruncated>false</IsTruncated></ListBucketResult>", v2 ? "<KeyCount>0</KeyCount>" : "");
  } else if (*delim && !strncmp("data/", pre, strlen(pre)) && strlen(pre) < 5)
    n += sprintf(
        buf + n,
        "%s<IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>data/</Prefix></CommonPrefixes></ListBucketResult>",
        v2 ? "<KeyCount>1</KeyCount>" : "");
  else {
    uint64_t i = after(pre, cnt, lk, 1), from = 0; // a continuation token is an index, start-after and marker are keys
    if (*tok)
      from = isdigit((unsigned char)*tok) ? (uint64_t)atoll(tok) : after(tok, cnt, lk, 0);
    if (from > i)
      i = from;
    int k = 0;
    char key[256], lastk[256] = "";
    int pl = strlen(pre), more = 0;
    for (; i < cnt; i++) {
      mkkey(key, i, lk);
      if (strncmp(key, pre, pl))
        break;
      if (k == max) {
        more = 1;
        break;
      }
      k++;
      strcpy(lastk, key);
      uint64_t one = nth_size(bucket, size, i);
      meta *m = getmeta(one);
      n += sprintf(buf + n,
                   "<Contents><Key>%s</Key><LastModified>2024-10-01T00:00:00.000Z</LastModified><ETag>&quot;%s&quot;</"
                   "ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</"
                   "ChecksumType><Size>%llu</Size><StorageClass>STANDARD</StorageClass></Contents>",
                   key, m->md5, (unsigned long long)one);
    }
    n_keys += k;
    if (v2)
      n += sprintf(buf + n, "<KeyCount>%d</KeyCount>", k);
    n += sprintf(buf + n, "<IsTruncated>%s</IsTruncated>", more ? "true" : "false");
    if (more) {
      if (v2)
        n += sprintf(buf + n, "<NextContinuationToken>%llu</NextContinuationToken>", (unsigned long long)i);
      else
        n += sprintf(buf + n, "<NextMarker>%s</NextMarker>", lastk);
    }
    n += sprintf(buf + n, "</ListBucketResult>");
  }
  resp(c, "200 OK", 0, "application/xml", buf, n);
}

static void service_request(conn *c) {
  if (!strcmp(c->method, "POST")) {
    const char *x =
        "<AssumeRoleResponse "
        "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/"
        "\"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>ARO123EXAMPLE123:s</"
        "AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></"
        "AssumedRoleUser><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>wJalrXUtnFEMI/"
        "K7MDENG/bPxRfiCYzEXAMPLEKEY</"
        "SecretAccessKey><SessionToken>FwoGZXIvYXdzEXAMPLETOKENFwoGZXIvYXdzEXAMPLETOKENFwoGZXIvYXdzEXAMPLETOKEN</"
        "SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></"
        "AssumeRoleResult><ResponseMetadata><RequestId>c6104cbe</RequestId></ResponseMetadata></AssumeRoleResponse>";
    resp(c, "200 OK", 0, "text/xml", x, strlen(x));
  } else {
    const char *x = "<?xml version=\"1.0\"?><ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>";
    resp(c, "200 OK", 0, "application/xml", x, strlen(x));
  }
}

static void delete_result(conn *c) {
  static const char head[] =
      "<?xml version=\"1.0\"?><DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  static const char tail[] = "</DeleteResult>";
  char *x = malloc(sizeof head + sizeof tail + 4 * c->bodylen + 64);
  int n = sprintf(x, "%s", head);
  int quiet = c->body && strstr(c->body, "<Quiet>true</Quiet>") != 0;
  for (const char *k = c->body; k && !quiet && (k = strstr(k, "<Key>"));) {
    const char *e = strstr(k += 5, "</Key>");
    if (!e)
      break;
    n += sprintf(x + n, "<Deleted><Key>%.*s</Key></Deleted>", (int)(e - k), k);
    k = e;
  }
  n += sprintf(x + n, "%s", tail);
  resp(c, "200 OK", 0, "application/xml", x, n);
  free(x);
}

static void bucket_request(conn *c, const char *bucket) {
  char v[1024];
  int get = !strcmp(c->method, "GET"), post = !strcmp(c->method, "POST");
  if (!get && !post) {
    resp(c, "200 OK", "x-amz-bucket-region: us-east-1\r\n", 0, 0, 0);
    return;
  }
  if (post && qget(c->query, "delete", v, sizeof v)) {
    n_deletes++;
    delete_result(c);
    return;
  }
  if (get && qget(c->query, "location", v, sizeof v)) {
    const char *x = "<?xml version=\"1.0\"?><LocationConstraint "
                    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></LocationConstraint>";
    resp(c, "200 OK", 0, "application/xml", x, strlen(x));
    return;
  }
  if (get && qget(c->query, "versioning", v, sizeof v)) {
    const char *x =
        "<?xml version=\"1.0\"?><VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>";
    resp(c, "200 OK", 0, "application/xml", x, strlen(x));
    return;
  }
  if (get) {
    do_list(c, bucket, qget(c->query, "list-type", v, sizeof v));
    return;
  }
  err(c, "405 Method Not Allowed", "MethodNotAllowed");
}

static void object_get(conn *c, const char *bucket, const char *key, const char *full) {
  char v[1024];
  int get = !strcmp(c->method, "GET");
  if (qget(c->query, "tagging", v, sizeof v)) {
    const char *x = "<?xml version=\"1.0\"?><Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet></TagSet></Tagging>";
    resp(c, "200 OK", 0, "application/xml", x, strlen(x));
    return;
  }
  uint64_t cnt, size;
  int lk;
  char et[48] = "", crc[16] = "";
  int64_t ki;
  if (virt(bucket, &cnt, &size, &lk) && (ki = keyidx(key, lk)) >= 0 && (uint64_t)ki < cnt) {
    size = nth_size(bucket, size, ki);
    meta *m = getmeta(size);
    strcpy(et, m->md5);
    strcpy(crc, m->crc32);
  } else if (!hget(full, &size, et)) {
    err(c, "404 Not Found", "NoSuchKey");
    return;
  }
  uint64_t a = 0, b = size ? size - 1 : 0;
  int part = 0;
  char ex[512];
  int n = 0;
  unsigned long long ra, rb;
  if (*c->range && get) {
    if (sscanf(c->range, "bytes=%llu-%llu", &ra, &rb) == 2) {
      a = ra;
      b = rb < size ? rb : size - 1;
      part = 1;
    } else if (sscanf(c->range, "bytes=%llu-", &ra) == 1) {
      a = ra;
      part = 1;
    }
    if (a >= size) {
      err(c, "416 Requested Range Not Satisfiable", "InvalidRange");
      return;
    }
  }
  if (qget(c->query, "partNumber", v, sizeof v) && get && size > (8u << 20)) {
    a = 0;
    b = size - 1;
  }
  uint64_t len = size ? b - a + 1 : 0;
  if (part)
    n += sprintf(ex + n, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)a, (unsigned long long)b,
                 (unsigned long long)size);
  if (c->cksum && !part && *crc)
    n += sprintf(ex + n, "x-amz-checksum-crc32: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", crc);
  char h[2048];
  int hn =
      snprintf(h, sizeof h,
               "HTTP/1.1 %s\r\nx-amz-id-2: 0123456789abcdef0123456789abcdef0123456789abcdef\r\nx-amz-request-id: "
               "0123456789ABCDEF\r\nDate: Tue, 01 Oct 2024 00:00:00 GMT\r\nLast-Modified: Tue, 01 Oct 2024 00:00:00 "
               "GMT\r\nETag: \"%s\"\r\nx-amz-server-side-encryption: AES256\r\nAccept-Ranges: "
               "bytes\r\n%.*sContent-Type: binary/octet-stream\r\nServer: AmazonS3\r\nContent-Length: %llu\r\n%s\r\n",
               part ? "206 Partial Content" : "200 OK", et, n, ex, (unsigned long long)len,
               c->close_ ? "Connection: close\r\n" : "");
  outadd(c, h, hn);
  if (get) {
    n_gets++;
    c->doff = a;
    c->dleft = len;
  }
}

static void object_put(conn *c, const char *full) {
  char v[1024];
  uint64_t dsz = c->have_decoded ? c->decoded : c->clen;
  char et[48] = "fedcba9876543210fedcba9876543210";
  int frommd5 = 0;
  if (*c->md5) {
    unsigned char d[64];
    int dn = EVP_DecodeBlock(d, (unsigned char *)c->md5, strlen(c->md5));
    if (dn >= 16) {
      for (int i = 0; i < 16; i++)
        sprintf(et + 2 * i, "%02x", d[i]);
      frommd5 = 1;
    }
  }
  if (!frommd5)
    strcpy(et, "fedcba9876543210fedcba9876543210-1");
  char ex[256];
  uint64_t cnt, size;
  int lk;
  int ispart = qget(c->query, "partNumber", v, sizeof v);
  char up[128] = "";
  qget(c->query, "uploadId", up, sizeof up);
  if (*c->copysrc) {
    n_copies++;
    char *q = c->copysrc;
    if (*q == '/')
      q++;
    char sb[256] = "";
    char *sl = strchr(q, '/');
    if (sl)
      snprintf(sb, sizeof sb, "%.*s", (int)(sl - q), q);
    char srck[1100];
    snprintf(srck, sizeof srck, "%s", q);
    urldec(srck);
    if (!virt(sb, &cnt, &size, &lk) && !hget(srck, &size, 0)) {
      err(c, "404 Not Found", "NoSuchKey");
      return;
    }
    unsigned long long ra, rb;
    if (*c->cpr && sscanf(c->cpr, "bytes=%llu-%llu", &ra, &rb) == 2)
      size = rb - ra + 1;
    char x[400];
    int n =
        snprintf(x, sizeof x,
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s "
                 "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LastModified>2024-10-01T00:00:00.000Z</"
                 "LastModified><ETag>&quot;%s&quot;</ETag></%s>",
                 ispart ? "CopyPartResult" : "CopyObjectResult", et, ispart ? "CopyPartResult" : "CopyObjectResult");
    if (ispart)
      hput(up, size, 0, 1);
    else
      hput(full, size, et, 0);
    resp(c, "200 OK", 0, "application/xml", x, n);
    return;
  }
  n_puts++;
  n_in += dsz;
  if (ispart)
    hput(up, dsz, 0, 1);
  else
    hput(full, dsz, et, 0);
  c->trailer[c->trailerlen] = 0;
  const char *sum = strncasecmp(c->trailer, "x-amz-checksum-", 15) ? "" : c->trailer;
  snprintf(ex, sizeof ex, "ETag: \"%s\"\r\nx-amz-server-side-encryption: AES256\r\n%s%s", et, sum,
           *sum ? "\r\n" : "");
  resp(c, "200 OK", ex, 0, 0, 0);
}

static void object_post(conn *c, const char *bucket, const char *key, const char *full) {
  char v[1024];
  char x[3000];
  int n;
  static _Atomic unsigned upid;
  if (qget(c->query, "uploads", v, sizeof v)) {
    unsigned u = ++upid;
    n = snprintf(x, sizeof x,
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult "
                 "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>%s</Bucket><Key>%s</"
                 "Key><UploadId>upload%08u</UploadId></InitiateMultipartUploadResult>",
                 bucket, key, u);
    resp(c, "200 OK", 0, "application/xml", x, n);
    return;
  }
  char up[128];
  if (qget(c->query, "uploadId", up, sizeof up)) {
    uint64_t size = 0;
    hget(up, &size, 0);
    hdel(up);
    hput(full, size, "fedcba9876543210fedcba9876543210-9", 0);
    n = snprintf(
        x, sizeof x,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>http://x</Location><Bucket>%s</Bucket><Key>%s</"
        "Key><ETag>&quot;fedcba9876543210fedcba9876543210-9&quot;</ETag></CompleteMultipartUploadResult>",
        bucket, key);
    resp(c, "200 OK", 0, "application/xml", x, n);
    return;
  }
  err(c, "405 Method Not Allowed", "MethodNotAllowed");
}

static void tell_counts(conn *c) {
  char x[256];
  int n = snprintf(x, sizeof x, "%llu %llu %llu %llu %llu %llu\n", (unsigned long long)n_gets,
                   (unsigned long long)n_puts, (unsigned long long)n_copies, (unsigned long long)n_deletes,
                   (unsigned long long)n_keys, (unsigned long long)n_in);
  n_gets = n_puts = n_copies = n_deletes = n_keys = n_in = 0;
  resp(c, "200 OK", 0, "text/plain", x, n);
}

static void handle(conn *c) { // request complete -> build response
  char *p = c->path + (*c->path == '/'), *s = strchr(p, '/');
  char bucket[256], key[2048] = "", full[2400];
  snprintf(bucket, sizeof bucket, "%.*s", s ? (int)(s - p) : (int)strlen(p), p);
  if (s)
    snprintf(key, sizeof key, "%s", s + 1);
  urldec(key);
  snprintf(full, sizeof full, "%s/%s", bucket, key);
  c->outlen = c->outoff = 0;
  c->dleft = 0;
  if (!*bucket)
    service_request(c);
  else if (!*key)
    bucket_request(c, bucket);
  else if (!strcmp(bucket, "-"))
    tell_counts(c);
  else if (!strcmp(c->method, "GET") || !strcmp(c->method, "HEAD"))
    object_get(c, bucket, key, full);
  else if (!strcmp(c->method, "PUT"))
    object_put(c, full);
  else if (!strcmp(c->method, "POST"))
    object_post(c, bucket, key, full);
  else if (!strcmp(c->method, "DELETE")) {
    n_deletes++;
    hdel(full);
    resp(c, "204 No Content", 0, 0, 0, 0);
  } else
    err(c, "405 Method Not Allowed", "MethodNotAllowed");
}

static ssize_t rd(conn *c, void *b, size_t n) {
  if (!c->ssl)
    return recv(c->fd, b, n, 0);
  ERR_clear_error();
  int r = SSL_read(c->ssl, b, n > INT32_MAX ? INT32_MAX : n);
  if (r > 0)
    return r;
  int e = SSL_get_error(c->ssl, r);
  if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
    errno = EAGAIN;
    return -1;
  }
  return 0;
}

static ssize_t wr(conn *c, const void *b, size_t n, int more) {
  if (!c->ssl)
    return send(c->fd, b, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  ERR_clear_error();
  int r = SSL_write(c->ssl, b, n);
  if (r > 0)
    return r;
  int e = SSL_get_error(c->ssl, r);
  if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
    errno = EAGAIN;
    return -1;
  }
  errno = EPIPE;
  return -1;
}

static int parse(conn *c) { // 0 need more, 1 ok, -1 bad ; consumes headers from c->in
  char *e = memmem(c->in, c->inlen, "\r\n\r\n", 4);
  if (!e)
    return c->inlen >= INSZ ? -1 : 0;
  int hl = e + 4 - c->in;
  e[2] = 0;
  c->expect = c->chunked = c->cksum = c->close_ = c->have_decoded = c->trailerlen = 0;
  c->clen = 0;
  *c->copysrc = *c->range = *c->cpr = *c->md5 = 0;
  char *ln = c->in, *nl = strstr(ln, "\r\n");
  *nl = 0;
  char uri[4096];
  if (sscanf(ln, "%7s %4095s", c->method, uri) != 2)
    return -1;
  char *u = uri;
  if (!strncmp(u, "http://", 7)) {
    u = strchr(u + 7, '/');
    if (!u)
      u = "/";
  }
  char *q = strchr(u, '?');
  if (q) {
    *q++ = 0;
    snprintf(c->query, sizeof c->query, "%s", q);
  } else
    *c->query = 0;
  snprintf(c->path, sizeof c->path, "%s", u);
  if (g_verbose)
    fprintf(stderr, "%s\n", ln);
  for (ln = nl + 2; *ln; ln = nl + 2) {
    nl = strstr(ln, "\r\n");
    if (!nl)
      break;
    *nl = 0;
    if (g_verbose > 1)
      fprintf(stderr, "  %s\n", ln);
    char *v = strchr(ln, ':');
    if (!v)
      continue;
    int kl = v - ln;
    v++;
    while (*v == ' ')
      v++;
#define H(s) (kl == sizeof(s) - 1 && !strncasecmp(ln, s, kl))
    if (H("content-length"))
      c->clen = strtoull(v, 0, 10);
    else if (H("x-amz-decoded-content-length")) {
      c->decoded = strtoull(v, 0, 10);
      c->have_decoded = c->chunked = 1;
    } else if (H("expect"))
      c->expect = 1;
    else if (H("transfer-encoding"))
      c->chunked = !strncasecmp(v, "chunked", 7);
    else if (H("range"))
      snprintf(c->range, sizeof c->range, "%s", v);
    else if (H("x-amz-copy-source"))
      snprintf(c->copysrc, sizeof c->copysrc, "%s", v);
    else if (H("x-amz-copy-source-range"))
      snprintf(c->cpr, sizeof c->cpr, "%s", v);
    else if (H("content-md5"))
      snprintf(c->md5, sizeof c->md5, "%s", v);
    else if (H("x-amz-checksum-mode"))
      c->cksum = 1;
    else if (H("connection"))
      c->close_ = !strcasecmp(v, "close");
  }
  memmove(c->in, c->in + hl, c->inlen - hl);
  c->inlen -= hl;
  return 1;
}

// chunked TE decoder over a buffer; returns bytes consumed; sets ck_st=9 at the end
// states: 0 size line, 1 data, 2 CRLF after data, 3 trailer line start, 4 in trailer line
static int chunk_feed(conn *c, const char *b, int n) {
  int i = 0;
  while (i < n && c->ck_st != 9) {
    switch (c->ck_st) {
    case 0: {
      char ch = b[i++];
      if (ch == '\n') {
        c->ck_st = c->ck_left ? 1 : 3;
      } else if (isxdigit((unsigned char)ch)) {
        c->ck_left = c->ck_left * 16 + (isdigit((unsigned char)ch) ? ch - '0' : (tolower(ch) - 'a' + 10));
      }
      break;
    }
    case 1: {
      uint64_t m = n - i;
      if (m > c->ck_left)
        m = c->ck_left;
      i += m;
      c->ck_left -= m;
      if (!c->ck_left)
        c->ck_st = 2;
      break;
    }
    case 2:
      if (b[i++] == '\n') {
        c->ck_st = 0;
        c->ck_left = 0;
      }
      break;
    case 3: {
      char ch = b[i++];
      if (ch == '\n')
        c->ck_st = 9;
      else if (ch != '\r') {
        c->ck_st = 4;
        c->trailer[0] = ch;
        c->trailerlen = 1;
      }
      break;
    }
    case 4: {
      char ch = b[i++];
      if (ch == '\n')
        c->ck_st = 3;
      else if (ch != '\r' && c->trailerlen < (int)sizeof c->trailer - 1)
        c->trailer[c->trailerlen++] = ch;
      break;
    }
    }
  }
  return i;
}

static int is_list(conn *c) {
  if (strcmp(c->method, "GET"))
    return 0;
  char *p = c->path + (*c->path == '/');
  char *s = strchr(p, '/');
  return !s || !s[1];
}

static void run(loop *l, conn *c);

#define MAXBODY (8u << 20)

static void keep_body(conn *c) {
  char v[8];
  if (strcmp(c->method, "POST") || c->chunked || c->clen > MAXBODY || !qget(c->query, "delete", v, sizeof v))
    return;
  c->body = malloc(c->clen + 1);
  c->body[0] = 0;
  c->bodylen = 0;
}

static void add_body(conn *c, const char *b, uint64_t n) {
  if (!c->body)
    return;
  memcpy(c->body + c->bodylen, b, n);
  c->bodylen += n;
  c->body[c->bodylen] = 0;
}

static void finish_req(loop *l, conn *c) {
  handle(c);
  free(c->body);
  c->body = 0;
  int d = is_list(c) && g_ldelay >= 0 ? g_ldelay : g_delay;
  if (d > 0) {
    c->st = 2;
    c->due = now_us() + d * 1000ull;
    heap_push(l, c);
    setev(l, c, 0);
  } else
    c->st = 3;
}

static void run(loop *l, conn *c) {
  for (;;) {
    if (c->ssl && !c->hs) {
      ERR_clear_error();
      int r = SSL_accept(c->ssl);
      if (r == 1)
        c->hs = 1;
      else {
        int e = SSL_get_error(c->ssl, r);
        if (e == SSL_ERROR_WANT_READ) {
          setev(l, c, EPOLLIN);
          return;
        }
        if (e == SSL_ERROR_WANT_WRITE) {
          setev(l, c, EPOLLOUT);
          return;
        }
        closec(l, c);
        return;
      }
    }
    if (c->st == 0) {
      int r = c->inlen ? parse(c) : 0;
      if (r < 0) {
        closec(l, c);
        return;
      }
      if (r == 0) {
        ssize_t n = rd(c, c->in + c->inlen, INSZ - c->inlen);
        if (n == 0) {
          closec(l, c);
          return;
        }
        if (n < 0) {
          if (errno == EAGAIN) {
            setev(l, c, EPOLLIN);
            return;
          }
          closec(l, c);
          return;
        }
        c->inlen += n;
        continue;
      }
      if (c->expect && !c->inlen && (c->clen || c->chunked)) {
        wr(c, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0);
      }
      c->bleft = c->clen;
      keep_body(c);
      c->ck_st = 0;
      c->ck_left = 0;
      c->st = 1;
    }
    if (c->st == 1) {
      if (c->chunked) {
        while (c->ck_st != 9) {
          if (c->inlen) {
            int u = chunk_feed(c, c->in, c->inlen);
            memmove(c->in, c->in + u, c->inlen - u);
            c->inlen -= u;
            continue;
          }
          ssize_t n = rd(c, l->big, BIGBUF);
          if (n == 0) {
            closec(l, c);
            return;
          }
          if (n < 0) {
            if (errno == EAGAIN) {
              setev(l, c, EPOLLIN);
              return;
            }
            closec(l, c);
            return;
          }
          int u = chunk_feed(c, (char *)l->big, n);
          if (u < n) {
            memcpy(c->in, l->big + u, n - u);
            c->inlen = n - u;
          }
        }
      } else {
        if (c->inlen && c->bleft) {
          uint64_t m = c->inlen;
          if (m > c->bleft)
            m = c->bleft;
          add_body(c, c->in, m);
          memmove(c->in, c->in + m, c->inlen - m);
          c->inlen -= m;
          c->bleft -= m;
        }
        while (c->bleft) {
          ssize_t n;
          if (!c->ssl && !c->body)
            n = recv(c->fd, l->big, c->bleft > (64u << 20) ? (64u << 20) : c->bleft, MSG_TRUNC);
          else
            n = rd(c, l->big, c->bleft > BIGBUF ? BIGBUF : c->bleft);
          if (n > 0)
            add_body(c, (char *)l->big, n);
          if (n == 0) {
            closec(l, c);
            return;
          }
          if (n < 0) {
            if (errno == EAGAIN) {
              setev(l, c, EPOLLIN);
              return;
            }
            closec(l, c);
            return;
          }
          c->bleft -= n;
        }
      }
      finish_req(l, c);
      if (c->st == 2)
        return;
    }
    if (c->st == 2)
      return;
    if (c->st == 3) {
      while (c->outoff < c->outlen) {
        ssize_t n = wr(c, c->out + c->outoff, c->outlen - c->outoff, c->dleft > 0);
        if (n < 0) {
          if (errno == EAGAIN) {
            setev(l, c, EPOLLOUT);
            return;
          }
          closec(l, c);
          return;
        }
        c->outoff += n;
      }
      while (c->dleft) {
        uint64_t n = c->dleft, o = c->doff % PAT;
        uint64_t cap = c->ssl ? (256 << 10) : (g_bw > 0 ? (512 << 10) : (4u << 20));
        if (n > cap)
          n = cap;
        if (n > PAT - o)
          n = PAT - o;
        ssize_t w;
        if (c->ssl)
          w = wr(c, pat + o, n, 0);
        else {
          off_t oo = o;
          w = sendfile(c->fd, patfd, &oo, n);
        }
        if (w < 0) {
          if (errno == EAGAIN) {
            setev(l, c, EPOLLOUT);
            return;
          }
          closec(l, c);
          return;
        }
        c->doff += w;
        c->dleft -= w;
        if (g_bw > 0 && c->dleft) {
          uint64_t t = now_us();
          if (c->due < t)
            c->due = t;
          c->due += w / g_bw;
          if (c->due > t + 1000) {
            c->st = 4;
            heap_push(l, c);
            setev(l, c, 0);
            return;
          }
        }
      }
      if (c->outcap > (1 << 16)) {
        free(c->out);
        c->out = 0;
        c->outcap = 0;
      }
      c->outlen = c->outoff = 0;
      if (c->close_) {
        if (c->ssl)
          SSL_shutdown(c->ssl);
        closec(l, c);
        return;
      }
      c->st = 0;
    }
    if (c->st == 4)
      return;
  }
}

static void *worker(void *a) {
  (void)a;
  loop l = {0};
  l.ep = epoll_create1(0);
  l.big = malloc(BIGBUF > (64 << 20) ? BIGBUF : BIGBUF);
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, 4);
  setsockopt(ls, SOL_SOCKET, SO_REUSEPORT, &one, 4);
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(g_port), .sin_addr.s_addr = inet_addr(g_addr)};
  if (bind(ls, (void *)&sa, sizeof sa) || listen(ls, 4096)) {
    perror("bind");
    exit(1);
  }
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = 0};
  epoll_ctl(l.ep, EPOLL_CTL_ADD, ls, &e);
  struct epoll_event evs[256];
  for (;;) {
    int to = -1;
    if (l.hn) {
      uint64_t t = now_us();
      to = l.heap[0]->due <= t ? 0 : (l.heap[0]->due - t + 999) / 1000;
    }
    int n = epoll_wait(l.ep, evs, 256, to);
    for (int i = 0; i < n; i++) {
      conn *c = evs[i].data.ptr;
      if (!c) {
        int fd;
        while ((fd = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, 4);
          c = calloc(1, sizeof *c);
          c->fd = fd;
          c->heapi = -1;
          c->ev = EPOLLIN;
          if (g_tls) {
            c->ssl = SSL_new(ctx);
            SSL_set_fd(c->ssl, fd);
          }
          struct epoll_event x = {.events = EPOLLIN, .data.ptr = c};
          epoll_ctl(l.ep, EPOLL_CTL_ADD, fd, &x);
        }
        continue;
      }
      if ((c->st == 2 || c->st == 4)) {
        if (evs[i].events & (EPOLLHUP | EPOLLERR))
          closec(&l, c);
        continue;
      }
      run(&l, c);
    }
    if (l.hn) {
      uint64_t t = now_us();
      while (l.hn && l.heap[0]->due <= t + 200) {
        conn *c = l.heap[0];
        heap_del(&l, c);
        c->st = 3;
        run(&l, c);
      }
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  int o;
  while ((o = getopt(argc, argv, "a:p:t:Tc:k:d:l:b:s:v")) != -1)
    switch (o) {
    case 'a':
      g_addr = optarg;
      break;
    case 'p':
      g_port = atoi(optarg);
      break;
    case 't':
      g_threads = atoi(optarg);
      break;
    case 'T':
      g_tls = 1;
      break;
    case 'c':
      g_cert = optarg;
      break;
    case 'k':
      g_key = optarg;
      break;
    case 'd':
      g_delay = atoi(optarg);
      break;
    case 'l':
      g_ldelay = atoi(optarg);
      break;
    case 'b':
      g_bw = atof(optarg);
      break;
    case 's':
      for (char *each = strtok(optarg, ","); each && g_nsizes < 64; each = strtok(0, ","))
        g_sizes[g_nsizes++] = atoi(each);
      break;
    case 'v':
      g_verbose++;
      break;
    default:
      return 2;
    }
  signal(SIGPIPE, SIG_IGN);
  patfd = memfd_create("pat", 0);
  if (ftruncate(patfd, PAT))
    return 1;
  pat = mmap(0, PAT, PROT_READ | PROT_WRITE, MAP_SHARED, patfd, 0);
  uint64_t x = 88172645463325252ull;
  for (unsigned i = 0; i < PAT / 8; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    ((uint64_t *)pat)[i] = x;
  }
  if (g_tls) {
    ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256");
    SSL_CTX_set_read_ahead(ctx, 1);
    if (SSL_CTX_use_certificate_chain_file(ctx, g_cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, g_key, SSL_FILETYPE_PEM) != 1) {
      ERR_print_errors_fp(stderr);
      return 1;
    }
  }
  pthread_t t;
  for (int i = 1; i < g_threads; i++)
    pthread_create(&t, 0, worker, 0);
  worker(0);
  return 0;
}
