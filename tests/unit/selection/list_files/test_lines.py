"""Lines of a list: pieces of any size, gzip of several members, and errors with their line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import StepError
from rolerunner.selection.list_files import lines as lines_module
from rolerunner.selection.list_files.lines import decompress, iter_lines

if TYPE_CHECKING:
    from collections.abc import Sequence


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def read(pieces: Sequence[bytes]) -> list[tuple[int, str]]:
    return list(iter_lines(decompress(pieces, "list"), "list"))


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_gzip_of_several_members_with_zeros_between_and_after(size: int) -> None:
    data = gzip.compress(b"a\nb") + bytes(9) + gzip.compress(b"c\n") + bytes(200)
    assert read(cut(data, size)) == [(1, "a"), (2, "bc")]


@pytest.mark.parametrize("damage", [b"xyz", b"\0\0\0xyz"])
def test_other_bytes_after_gzip_are_damage(damage: bytes) -> None:
    with pytest.raises(StepError, match="its gzip data is damaged"):
        read([gzip.compress(b"a\n"), damage])


@pytest.mark.parametrize("kept", [3, 12, -1])
def test_incomplete_gzip_is_an_error(kept: int) -> None:
    with pytest.raises(StepError, match="its gzip data is incomplete"):
        read([gzip.compress(b"a\nb\n")[:kept]])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 99])
def test_line_breaks_and_the_byte_order_mark_are_left_out(size: int) -> None:
    data = b"\xef\xbb\xbfa\r\n\r\n\xc3\xa9\n b\rc"
    assert read(cut(data, size)) == [(1, "a"), (2, ""), (3, "\xe9"), (4, " b\rc")]


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"a\nb\n\xff\nc", "list:3: is not UTF-8 text", "save the list as UTF-8"),
        ("a\n".encode("utf-16"), "list: is UTF-16 text", "save the list as UTF-8"),
        (b"a\n" + b"b" * 20 + b"\nc", "list:2: is longer than 10 bytes", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_a_wrong_line_is_named(
    monkeypatch: pytest.MonkeyPatch, data: bytes, message: str, hint: str, size: int
) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE", 10)
    with pytest.raises(StepError) as failed:
        read(cut(data, size))
    assert (str(failed.value), failed.value.hint, failed.value.type) == (message, hint, "BadList")


def test_gzip_is_decompressed_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_PIECE", 100)
    pieces = list(decompress([gzip.compress(b"x" * 10_000)], "list"))
    assert max(map(len, pieces)) == 100
    assert b"".join(pieces) == b"x" * 10_000
