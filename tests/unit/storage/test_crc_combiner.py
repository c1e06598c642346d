"""CRCs of ranges in any order."""

from __future__ import annotations

import zlib

import pytest

from rolerunner.storage.crc_combiner import CrcCombiner
from tests.unit.storage.checksums import CRC32, DATA


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


@pytest.mark.parametrize("size", [1, 100, 1000, 5000])
def test_crcs_of_ranges_are_combined_in_any_order(size: int) -> None:
    combiner = CrcCombiner.of(f"CRC32:{CRC32}")
    assert combiner is not None
    assert combiner.algorithm == "CRC32"
    for start in reversed(range(0, len(DATA), size)):
        part = DATA[start : start + size]
        combiner.add(start, len(part), crc(part))
    assert combiner.matches()


def test_a_gap_and_a_wrong_range_do_not_match() -> None:
    gap, wrong = CrcCombiner.of(f"CRC32:{CRC32}"), CrcCombiner.of(f"CRC32:{CRC32}")
    assert gap is not None
    assert wrong is not None
    gap.add(0, 100, crc(DATA[:100]))
    gap.add(200, 824, crc(DATA[200:]))
    wrong.add(0, 1024, crc(DATA[1:]))
    assert not gap.matches()
    assert not wrong.matches()
