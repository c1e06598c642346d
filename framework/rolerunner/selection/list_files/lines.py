"""Reads lines of text from pieces of a file, compressed or not, in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from rolerunner.errors import StepError

MAX_LINE = 1 << 20
"""Bytes of a line; a key has 1,024, and a line of CSV or JSON may have other values beside it."""
_PIECE = 1 << 20
"""Bytes that are decompressed at a time."""
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
"""The window size that tells zlib to read gzip."""
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")


def list_error(name: str, message: str, *, line: int = 0, hint: str = "") -> StepError:
    """Returns the error of a file that cannot be used as a list of objects."""
    place = f"{name}:{line:,}" if line else name
    return StepError(f"{place}: {message}", hint=hint, type="BadList")


def decompress(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yields the bytes of a file, decompressed if it begins as gzip does.

    Raises StepError if the compressed data is damaged or incomplete.
    """
    rest = iter(pieces)
    first = next(rest, b"")
    while len(first) < len(_GZIP):
        more = next(rest, None)
        if more is None:
            break
        first += more
    if not first.startswith(_GZIP):
        yield first
        yield from rest
        return
    try:
        yield from _gunzip(first, rest, name)
    except zlib.error as error:
        raise list_error(name, f"its gzip data is damaged ({error})") from None


def _gunzip(first: bytes, rest: Iterator[bytes], name: str) -> Iterator[bytes]:
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    data = first
    while True:
        if decoder.eof:  # another member may follow, and zeros up to the end of a block
            data = _skip_zeros(data, rest)
            if not data:
                return
            decoder = zlib.decompressobj(_GZIP_WINDOW)
        piece = decoder.decompress(data, _PIECE)
        if piece:
            yield piece
        data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        if not data and not decoder.eof:
            data = next(rest, b"")
            if not data:
                raise list_error(name, "its gzip data is incomplete")


def _skip_zeros(data: bytes, rest: Iterator[bytes]) -> bytes:
    """Returns the data from the next byte that is not zero, in this piece or a later one."""
    found = data.lstrip(b"\0")
    while not found:
        data = next(rest, b"")
        if not data:
            return b""
        found = data.lstrip(b"\0")
    return found


def iter_lines(pieces: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    r"""Yields the number and text of each line, without ``\n`` or ``\r\n`` at its end.

    Raises StepError for a line that is too long or not UTF-8.
    """
    number = 0
    for block in _iter_blocks(pieces, name):
        try:
            lines = block.decode().split("\n")
        except UnicodeDecodeError as error:
            wrong = number + 1 + block.count(b"\n", 0, error.start)
            hint = "save the list as UTF-8"
            raise list_error(name, "is not UTF-8 text", line=wrong, hint=hint) from None
        for line in lines:
            number += 1
            yield number, line.removesuffix("\r")


def _iter_blocks(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yields blocks of whole lines, each without the line break at its end."""
    rest, begun, number = b"", False, 1
    for piece in pieces:
        data = rest + piece
        if not begun:
            if len(data) < len(_BOM):
                rest = data
                continue
            data, begun = _strip_bom(data, name), True
        end = data.rfind(b"\n")
        if end < 0:
            rest = data
        else:
            yield data[:end]
            number += data.count(b"\n", 0, end + 1)
            rest = data[end + 1 :]
        if len(rest) > MAX_LINE:
            raise list_error(name, f"is longer than {MAX_LINE:,} bytes", line=number)
    if not begun:
        rest = _strip_bom(rest, name)
    if rest:
        yield rest


def _strip_bom(data: bytes, name: str) -> bytes:
    if data.startswith(_WIDE_BOMS):
        raise list_error(name, "is UTF-16 text", hint="save the list as UTF-8")
    return data.removeprefix(_BOM)
