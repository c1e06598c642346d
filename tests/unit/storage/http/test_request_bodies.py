"""Bodies pass through memory in blocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import StepError
from rolerunner.storage.http import request_bodies
from rolerunner.storage.http.request_bodies import BlockBuffer, FileRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DATA = b"0123456789"


@pytest.fixture
def descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(request_bodies, "BLOCK_SIZE", 4)
    (tmp_path / "file").write_bytes(DATA)
    opened = os.open(tmp_path / "file", os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    ("start", "length", "blocks"),
    [(0, 10, [b"0123", b"4567", b"89"]), (3, 4, [b"3456"]), (9, 1, [b"9"]), (5, 0, [])],
)
def test_a_range_is_read_in_blocks(
    start: int, length: int, blocks: list[bytes], descriptor: int
) -> None:
    body = FileRange(descriptor, start, length, lambda _: None)
    assert len(body) == length
    assert list(body.read_blocks()) == blocks


def test_a_block_that_comes_in_pieces_is_whole(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, length, at: pread(file, min(length, 1), at))
    body = FileRange(descriptor, 2, 6, lambda _: None)
    assert list(body.read_blocks()) == [b"2345", b"67"]


def test_a_file_that_became_shorter_is_an_error(descriptor: int) -> None:
    with pytest.raises(StepError, match="became shorter"):
        list(FileRange(descriptor, 8, 4, lambda _: None).read_blocks())


class Checker:
    """A sink that keeps the statuses of responses."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        del headers
        self.begun.append(status)

    def write(self, data: bytes, /) -> None:
        raise AssertionError(data)


def test_received_bytes_are_passed_on_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "BLOCK_SIZE", 4)
    checker = Checker()
    buffer = BlockBuffer(checker)
    buffer.begin(206, {})
    assert checker.begun == [206]
    blocks = []
    for data in (b"01", b"2345678", b"9"):
        buffer.write(data)
        blocks.append(list(buffer.pop_blocks()))
    assert blocks == [[], [b"0123", b"4567"], []]
    assert list(buffer.pop_rest()) == [b"89"]
    assert list(BlockBuffer(None).pop_rest()) == []
