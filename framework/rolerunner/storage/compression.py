"""Compresses streams of bytes: gzip, zstd, and deflate as zip archives have it.

gzip and deflate are written in independent pieces that threads compress, as pigz does, so their
bytes depend neither on the time nor on the number of threads.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.codecs import DEFAULT_LEVELS, find_deflater, import_zstd
from rolerunner.storage.hashing import find_crc32
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1 << 20
_PIECE = MIB
"""Bytes of a gzip stream that one thread compresses at a time."""
_WINDOW = 1 << 15
"""Bytes before a piece that it may refer to (RFC 1951)."""
_MAX_THREADS = 4
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""No name, no time, an unknown operating system (RFC 1952)."""


@dataclass(frozen=True)
class Compression:
    """The compression of an object when it is stored."""

    codec: str
    level: int

    @classmethod
    def of(cls, codec: str, level: Optional[int] = None) -> Compression:
        """Returns the compression with the codec's usual level unless another one is given."""
        return cls(codec, DEFAULT_LEVELS[codec] if level is None else level)

    def bound(self, size: int) -> int:
        """Returns the bytes that ``size`` bytes become at most."""
        return size + (size >> 8) + 4096


class Compressor(Protocol):
    """Compresses bytes as they come."""

    def compress(self, data: Any, /) -> bytes:
        """Adds the next bytes; returns what is ready."""

    def flush(self) -> bytes:
        """Ends the stream; returns the rest."""


def open_compressor(compression: Compression, *, in_threads: bool = True) -> Compressor:
    """Returns a compressor. Raises StepError if zstd is not installed."""
    if compression.codec == "gzip":
        return _GzipCompressor(compression.level, in_threads=in_threads)
    zstd = import_zstd()
    parameters = zstd.CompressionParameter
    compressor: Compressor = zstd.ZstdCompressor(
        options={
            parameters.compression_level: compression.level,
            parameters.checksum_flag: 1,
            # with workers, whatever their number, the bytes are the same
            parameters.nb_workers: min(count_cpus(), _MAX_THREADS) if in_threads else 1,
        }
    )
    return compressor


def open_deflater(level: int, size: int) -> Deflater:
    """Returns a compressor of ``size`` bytes without header, as zip archives have them."""
    return Deflater(level, in_threads=_is_large(size))


def compress_bytes(data: Any, compression: Compression) -> bytes:
    """Returns bytes compressed as one stream, in the calling thread."""
    compressor = open_compressor(compression, in_threads=False)
    return compressor.compress(data) + compressor.flush()


def compress_blocks(blocks: Iterable[Any], compression: Compression, size: int) -> Iterator[bytes]:
    """Yields a stream of ``size`` bytes compressed, a large one in several threads."""
    compressor = open_compressor(compression, in_threads=_is_large(size))
    for block in blocks:
        if ready := compressor.compress(block):
            yield ready
    yield compressor.flush()


def _is_large(size: int) -> bool:
    """Returns True for a stream that threads are started for."""
    return size > _PIECE * 2


def count_cpus() -> int:
    """Returns the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class Deflater:
    """Compresses pieces of one raw deflate stream (RFC 1951), in threads or not."""

    def __init__(self, level: int, *, in_threads: bool) -> None:
        self._level = level
        cpus = count_cpus() if in_threads else 1
        self._threads = min(cpus, _MAX_THREADS) if cpus > 1 else 0
        self._buffer = bytearray()
        self._window = b""
        self._pending: deque[Future[bytes]] = deque()
        self._pool: Optional[ThreadPool] = None

    def compress(self, data: Any) -> bytes:
        """Adds bytes; returns the pieces that are ready, in their order."""
        ready = []
        rest = memoryview(data)
        while rest:
            if len(self._buffer) == _PIECE:  # only now, since the last piece is never empty
                ready.append(self._start_piece(self._buffer))
                self._buffer = bytearray()
            taken = rest[: _PIECE - len(self._buffer)]
            self._buffer += taken
            rest = rest[len(taken) :]
        return b"".join(ready)

    def flush(self) -> bytes:
        """Compresses what is left, and ends the stream."""
        last = _deflate(self._buffer, self._level, self._window, zlib.Z_FINISH)
        ready = [each.result() for each in self._pending]
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown()
        return b"".join((*ready, last))

    def _start_piece(self, piece: bytearray) -> bytes:
        """Starts a piece in a thread; returns an earlier one once enough of them are waiting."""
        window, self._window = self._window, bytes(piece[-_WINDOW:])
        if not self._threads:
            return _deflate(piece, self._level, window, zlib.Z_SYNC_FLUSH)
        if self._pool is None:
            self._pool = ThreadPool(self._threads, thread_name_prefix="rolerunner-gzip")
        self._pending.append(
            self._pool.submit(_deflate, piece, self._level, window, zlib.Z_SYNC_FLUSH)
        )
        return self._pending.popleft().result() if len(self._pending) > self._threads + 1 else b""

    def __del__(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)


class _GzipCompressor:
    """Compresses one gzip member."""

    def __init__(self, level: int, *, in_threads: bool) -> None:
        self._deflater = Deflater(level, in_threads=in_threads)
        self._crc = self._size = 0
        self._header = _GZIP_HEADER

    def compress(self, data: Any) -> bytes:
        """Adds bytes; returns what is ready."""
        self._crc = find_crc32()(data, self._crc)
        self._size += len(data)
        return self._take_header() + self._deflater.compress(data)

    def flush(self) -> bytes:
        """Ends the member."""
        end = struct.pack("<LL", self._crc, self._size & 0xFFFFFFFF)
        return b"".join((self._take_header(), self._deflater.flush(), end))

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header


def _deflate(piece: bytearray, level: int, window: bytes, end: int) -> bytes:
    """Compresses a piece that may refer to the bytes before it."""
    open_stream = find_deflater(level).compressobj
    options = (level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY)
    compressor = open_stream(*options, window) if window else open_stream(*options)
    packed: bytes = compressor.compress(piece) + compressor.flush(end)
    return packed
