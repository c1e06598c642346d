"""Checksums are computed as S3 does, with the optional packages and without."""

from __future__ import annotations

import sys
import zlib

import pytest

from rolerunner.storage import hashing
from rolerunner.storage.hashing import compute_digest, create_hash
from tests.unit.storage.checksums import CRC32, DATA, SHA256


def test_a_checksum_that_cannot_be_computed_is_an_error() -> None:
    with pytest.raises(KeyError, match="XXH3"):
        create_hash("XXH3")
    assert compute_digest("CRC32", DATA) == CRC32
    assert compute_digest("SHA256", DATA) == SHA256


@pytest.mark.parametrize("is_installed", [True, False])
def test_crc32_is_that_of_zlib_with_isal_and_without(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_installed:
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    hashing.find_crc32.cache_clear()
    hashing._find_factory.cache_clear()
    try:
        assert (hashing.find_crc32() is zlib.crc32) is not is_installed
        for data in (b"", DATA, memoryview(DATA)[3:777], bytearray(DATA * 999)):
            running = hashing.create_hash("CRC32")
            for start in range(0, len(data), 4099):
                running.update(data[start : start + 4099])
            assert int.from_bytes(running.digest(), "big") == zlib.crc32(data)
            assert hashing.find_crc32()(data, 7) == zlib.crc32(data, 7)
    finally:
        hashing.find_crc32.cache_clear()
        hashing._find_factory.cache_clear()
