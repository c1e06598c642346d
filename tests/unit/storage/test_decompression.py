"""Streams that are decompressed within bounds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib

import pytest

from rolerunner.errors import IntegrityFailed
from rolerunner.storage import decompression
from rolerunner.storage.codecs import find_inflater
from rolerunner.storage.decompression import (
    Decompression,
    DecompressionBounds,
    decompress_blocks,
)

TEXT = b"a line of text\n" * 1000


def decompress(data: bytes, codec: str, *, size: int = 100) -> bytes:
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(decompress_blocks(blocks, codec, DecompressionBounds("it")))


@pytest.mark.parametrize(
    ("codec", "compress"),
    [("gzip", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)],
)
def test_members_that_follow_one_another_are_one_content(codec: str, compress: object) -> None:
    assert callable(compress)
    assert decompress(compress(TEXT) + compress(b"more"), codec) == TEXT + b"more"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (gzip.compress(TEXT)[:-4], "it is cut short"),
        (gzip.compress(TEXT) + b"other", "other data follows it"),
    ],
    ids=["empty", "cut", "followed"],  # those of the data would have the time in them
)
def test_a_damaged_stream_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(IntegrityFailed, match=f"it: cannot be decompressed as gzip: {reason}"):
        decompress(data, "gzip")


PACKED = gzip.compress(TEXT, mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        b"this is no gzip",
        PACKED[:-3],
        PACKED[:20],
        PACKED[:5],
        PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:],
        PACKED[:-4] + b"\0\0\0\1",
        PACKED[:2] + b"\t" + PACKED[3:],
        PACKED[:3] + b"\xe0" + PACKED[4:],
        PACKED[:10] + b"\xff" * 10 + PACKED[20:],
        PACKED[:14] + b"\0\x55\xaa" + PACKED[17:],
        PACKED + PACKED[:-1],
        PACKED + b"\0" * 100 + b"other",
    ],
)
def test_damaged_gzip_has_the_same_error_without_the_extra_fast(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_inflater() is not zlib
    with pytest.raises(IntegrityFailed) as fast:
        decompress(data, "gzip")
    monkeypatch.setattr(decompression, "find_inflater", lambda: zlib)
    with pytest.raises(IntegrityFailed) as plain:
        decompress(data, "gzip")
    assert str(fast.value) == str(plain.value)


def test_a_stream_may_become_so_many_bytes() -> None:
    bounds = Decompression("gzip", max_bytes=len(TEXT)).bounds("it")
    bounds.add_output(len(TEXT))
    with pytest.raises(IntegrityFailed, match="has more than 15,000 bytes"):
        bounds.add_output(1)


def test_a_ratio_counts_beyond_the_first_16_mib() -> None:
    bounds = Decompression("gzip", max_ratio=10).bounds("it")
    bounds.add_input(100)
    bounds.add_output(16 << 20)
    with pytest.raises(IntegrityFailed, match="became more than 1,000, which is 10 times"):
        bounds.add_output(1)


@pytest.mark.parametrize(
    ("codec", "encoding", "expected"),
    [
        ("xz", "gzip", "xz"),
        ("", "gzip", "gzip"),
        ("", "zstd", "zstd"),
        ("", "br", ""),
        ("", "", ""),
    ],
)
def test_an_empty_codec_is_that_of_the_content_encoding(
    codec: str, encoding: str, expected: str
) -> None:
    assert Decompression(codec).find_codec(encoding) == expected
