"""Streams that are compressed, in threads or not."""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.storage import compression
from rolerunner.storage.codecs import find_deflater
from rolerunner.storage.compression import (
    Compression,
    compress_blocks,
    compress_bytes,
)

MIB = 1 << 20
RANDOM = random.Random(1)
WORDS = [RANDOM.randbytes(RANDOM.randint(1, 12)) for _ in range(400)]
TEXT = b" ".join(RANDOM.choices(WORDS, k=400_000))
"""Nearly 3 MiB, so three pieces; gzip makes it some times smaller."""


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


def compress(data: bytes, chosen: Compression, block: int = 300_000) -> bytes:
    blocks = [data[start : start + block] for start in range(0, len(data), block)]
    return b"".join(compress_blocks(blocks, chosen, 1 << 30))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_the_number_of_threads_does_not_change_the_bytes(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for cpus in (1, 2, 4):
        monkeypatch.setattr(compression, "count_cpus", lambda cpus=cpus: cpus)
        found.add(compress(TEXT, Compression.of(codec)))
    assert len(found) == 1


def test_one_cpu_compresses_gzip_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "count_cpus", lambda: 1)
    monkeypatch.setattr(compression, "ThreadPool", None)
    assert gzip.decompress(compress(TEXT, Compression.of("gzip", 1))) == TEXT


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("level", [0, 1, 2, 3, 6, 9])
def test_every_level_gives_one_member_that_zlib_and_gzip_read(
    level: int, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_fast:
        monkeypatch.setattr(compression, "find_deflater", lambda level: zlib)
    packed = compress(TEXT, Compression.of("gzip", level))
    one = zlib.decompressobj(31)
    assert one.decompress(packed) == TEXT
    assert one.eof
    assert not one.unused_data
    command = shutil.which("gzip")
    if command is not None:
        done = subprocess.run([command, "-dc"], input=packed, capture_output=True, check=True)
        assert done.stdout == TEXT


@pytest.mark.parametrize("level", [1, 2, 3, 6, 9])
def test_the_extra_fast_compresses_about_as_well_as_zlib(level: int) -> None:
    assert find_deflater(level) is not zlib
    packed = compress(TEXT, Compression.of("gzip", level))
    assert len(packed) < len(zlib.compress(TEXT, level)) * 1.05


def test_incompressible_bytes_stay_within_the_bound() -> None:
    data = random.Random(2).randbytes(2 * MIB + 5)
    for level in range(10):
        chosen = Compression.of("gzip", level)
        assert len(compress(data, chosen)) <= chosen.bound(len(data))


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.binary(max_size=3000), st.integers(1, 400)), min_size=1, max_size=6
    ),
    block=st.sampled_from([1 << 12, 100_000, MIB, 3 * MIB]),
    level=st.integers(0, 9),
)
def test_random_content_comes_back(parts: list[tuple[bytes, int]], block: int, level: int) -> None:
    data = b"".join(content * times for content, times in parts)
    chosen = Compression.of("gzip", level)
    packed = compress(data, chosen, block)
    assert packed == compress_bytes(data, chosen)
    assert gzip.decompress(packed) == data
    assert len(packed) <= chosen.bound(len(data))
