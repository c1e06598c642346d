"""Decompresses streams of bytes, within bounds of what they may become: gzip, zstd, bz2 and xz."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.codecs import DEFAULT_LEVELS, find_inflater, import_zstd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1 << 20
MAX_RATIO = 200
"""Bytes that a byte of compressed data may become by default. Text reaches 5 to 50."""
_OUTPUT = 1 << 18
"""Bytes that a decoder returns at most at once."""
_HARMLESS = 16 * MIB
"""Bytes of output below which no ratio counts."""
_MAX_MEMORY = 128 * MIB
"""Memory of a decoder: files of ``xz -9`` need 65 MiB, those of ``zstd --ultra -22`` 128 MiB."""


@dataclass(frozen=True)
class Decompression:
    """The way to decompress an object; an empty codec stands for that of its Content-Encoding."""

    codec: str
    max_bytes: Optional[int] = None
    max_ratio: Optional[int] = MAX_RATIO

    def find_codec(self, encoding: str) -> str:
        """Returns the codec of an object with this Content-Encoding; empty for none."""
        return self.codec or (encoding if encoding in DEFAULT_LEVELS else "")

    def bounds(self, subject: str) -> DecompressionBounds:
        """Returns the bounds of one object."""
        return DecompressionBounds(subject, self.max_bytes, self.max_ratio)


class DecompressionBounds:
    """Bounds of what a stream may become, and counts of what it has become."""

    def __init__(
        self,
        subject: str,
        max_bytes: Optional[int] = None,
        max_ratio: Optional[int] = MAX_RATIO,
    ) -> None:
        """``subject`` names the stream in errors; it may be changed on the way."""
        self.subject = subject
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self.read = self.produced = 0

    def add_input(self, count: int) -> None:
        """Counts compressed bytes."""
        self.read += count

    def add_output(self, count: int) -> None:
        """Counts decompressed bytes. Raises IntegrityFailed if there are too many."""
        self.produced += count
        if self._max_bytes is not None and self.produced > self._max_bytes:
            raise IntegrityFailed(
                f"{self.subject}: has more than {self._max_bytes:,} bytes when decompressed,"
                " which 'max_bytes' allows",
                hint="raise 'max_bytes' if the content is what you expect",
                type="TooLarge",
            )
        ratio = self._max_ratio
        if ratio is not None and self.produced > max(_HARMLESS, self.read * ratio):
            raise IntegrityFailed(
                f"{self.subject}: {self.read:,} compressed bytes became more than"
                f" {self.read * ratio:,}, which is {ratio:,} times as many",
                hint="raise 'max_ratio' if the content is what you expect",
                type="TooLarge",
            )


class _Decoder(Protocol):
    """The interface of bz2's, lzma's and zstd's decompressors."""

    @property
    def eof(self) -> bool:
        """True at the end of a member."""

    @property
    def needs_input(self) -> bool:
        """True if more output needs more input."""

    @property
    def unused_data(self) -> bytes:
        """Returns the bytes behind the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Adds bytes; returns at most ``max_length`` bytes of output."""


class _Inflater:
    """zlib's decompressor of one stream, with the interface of bz2's."""

    def __init__(self, window_bits: int) -> None:
        self._inflater = find_inflater().decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._inflater.eof)

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._inflater.unused_data
        return unused

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found: bytes = self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)
        self.needs_input = not self._inflater.unconsumed_tail and len(found) < max_length
        return found


def _open_decoder(codec: str) -> _Decoder:
    if codec == "gzip":
        return _Inflater(16 + zlib.MAX_WBITS)
    if codec == "deflate":  # without a header, as in zip archives
        return _Inflater(-zlib.MAX_WBITS)
    if codec == "bz2":
        import bz2  # noqa: PLC0415 - few need it

        return bz2.BZ2Decompressor()
    if codec == "xz":
        import lzma  # noqa: PLC0415 - few need it

        return lzma.LZMADecompressor(memlimit=_MAX_MEMORY)
    zstd = import_zstd()
    decoder: _Decoder = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _MAX_MEMORY.bit_length() - 1}
    )
    return decoder


def decompress_blocks(
    blocks: Iterable[Any], codec: str, bounds: DecompressionBounds
) -> Iterator[bytes]:
    """Yields a stream decompressed; members that follow one another are one content.

    Raises IntegrityFailed for a stream that is damaged, cut short, followed by something else, or
    larger than the bounds allow.
    """
    decoder: Optional[_Decoder] = None
    count = 0
    for block in blocks:
        bounds.add_input(len(block))
        data = bytes(block)
        while data or not (decoder is None or decoder.needs_input):
            if decoder is None:
                data = data.lstrip(b"\0") if count else data  # padding, as tapes have it
                if not data:
                    break
                decoder, count = _open_decoder(codec), count + 1
            found = _decode(decoder, data, codec, bounds, is_first=count == 1)
            if found:
                bounds.add_output(len(found))
                yield found
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
    if decoder is not None or not count:
        reason = "it is cut short" if bounds.read else "it is empty"
        raise _damaged_error(bounds, codec, reason)


def _decode(
    decoder: _Decoder, data: bytes, codec: str, bounds: DecompressionBounds, *, is_first: bool
) -> bytes:
    try:
        return decoder.decompress(data, _OUTPUT)
    except (MemoryError, StepError):
        raise
    except Exception as error:  # noqa: BLE001 - zlib.error, OSError, LZMAError, ZstdError: one a library
        reason = str(error) if is_first else f"other data follows it ({error})"
        raise _damaged_error(bounds, codec, reason) from None


def _damaged_error(bounds: DecompressionBounds, codec: str, reason: str) -> IntegrityFailed:
    return IntegrityFailed(
        f"{bounds.subject}: cannot be decompressed as {codec}: {reason}",
        hint="check that the object is complete and compressed as its name says",
        type="NotGzip" if codec == "gzip" else "NotCompressed",
    )
