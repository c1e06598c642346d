"""Streams that are compressed, in threads or not."""

from __future__ import annotations

import gzip
import random

import pytest

from rolerunner.storage.compression import (
    Compression,
    compress_blocks,
    compress_bytes,
)

MIB = 1 << 20


def test_levels_are_the_usual_ones_unless_others_are_given() -> None:
    assert Compression.of("gzip") == Compression("gzip", 6)
    assert Compression.of("zstd") == Compression("zstd", 3)
    assert Compression.of("gzip", 0) == Compression("gzip", 0)


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 3 * MIB])
def test_gzip_has_the_same_bytes_whatever_the_blocks_and_threads(size: int) -> None:
    data = random.Random(1).randbytes(64) * (size // 64 + 1)
    data = data[:size]
    chosen = Compression.of("gzip", 1)
    whole = compress_bytes(data, chosen)
    pieces = [data[start : start + 300_000] for start in range(0, size, 300_000)]
    assert b"".join(compress_blocks(pieces, chosen, 1 << 30)) == whole
    assert gzip.decompress(whole) == data
    assert len(whole) <= chosen.bound(size)
