"""Checksums of whole objects, of parts, and of ranges in any order."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.storage import integrity
from rolerunner.storage.integrity import (
    CrcCombiner,
    ExpectedChecksum,
    compute_digest,
    create_hash,
    extract_checksum,
    file_matches,
    has_checksum,
    is_md5,
    is_same_file,
)
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 4
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()


def composite(part_size: int) -> str:
    """The SHA256 of the SHA256s of parts, as S3 reports it."""
    parts = [DATA[start : start + part_size] for start in range(0, len(DATA), part_size)]
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    whole = base64.b64encode(hashlib.sha256(digests).digest()).decode()
    return f"SHA256:{whole}-{len(parts)}"


@pytest.mark.parametrize(
    ("checksum", "is_equal"),
    [
        (f"MD5:{MD5}", True),
        (f"SHA256:{SHA256}", True),
        (f"CRC32:{CRC32}", True),
        (f"CRC32:{SHA256}", False),
        (composite(100), False),
        ("XXH3:abc", False),
        ("", False),
    ],
)
def test_bytes_have_a_checksum_or_not(checksum: str, is_equal: bool) -> None:
    assert has_checksum(DATA, checksum) is is_equal


def test_a_checksum_that_cannot_be_computed_is_an_error() -> None:
    with pytest.raises(KeyError, match="XXH3"):
        create_hash("XXH3")
    assert compute_digest("CRC32", DATA) == CRC32
    assert compute_digest("SHA256", DATA) == SHA256


@pytest.mark.parametrize(
    ("response", "checksum"),
    [
        ({"ChecksumSHA256": SHA256, "ETag": f'"{MD5}"'}, f"SHA256:{SHA256}"),
        ({"ChecksumXXH3": "abc", "ETag": f'"{MD5}"'}, f"MD5:{MD5}"),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "AES256"}, f"MD5:{MD5}"),
        ({"ETag": f'"{MD5}-2"'}, f"MD5:{MD5}-2"),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "aws:kms"}, ""),
        ({"ETag": f'"{MD5}"', "SSECustomerAlgorithm": "AES256"}, ""),
        ({"ETag": f'"{MD5}"', "StorageClass": "EXPRESS_ONEZONE"}, ""),
        ({"ETag": '"abc"'}, ""),
        ({}, ""),
    ],
)
def test_the_etag_is_a_checksum_only_without_keys(response: dict[str, str], checksum: str) -> None:
    assert extract_checksum(response) == checksum


@pytest.mark.parametrize(
    ("etag", "is_one"),
    [(MD5, True), (f"{MD5}-3", True), (MD5[:-1], False), (MD5.upper(), False), ("", False)],
)
def test_an_etag_looks_like_an_md5(etag: str, is_one: bool) -> None:
    assert is_md5(etag) is is_one


@pytest.mark.parametrize("part_size", [1, 100, 1023, 1024])
@pytest.mark.parametrize("block", [1, 7, 100, 5000])
def test_a_checksum_of_parts_holds_whatever_the_blocks(part_size: int, block: int) -> None:
    expected = ExpectedChecksum.of(composite(part_size))
    assert expected is not None
    running = expected.start(len(DATA), lambda: part_size)
    assert running is not None
    for start in range(0, len(DATA), block):
        running.update(DATA[start : start + block])
        running = running.copy()
    assert running.matches()


def test_a_changed_byte_is_noticed_in_parts_and_in_the_whole() -> None:
    for checksum in (composite(100), f"MD5:{MD5}", f"CRC32:{CRC32}"):
        expected = ExpectedChecksum.of(checksum)
        assert expected is not None
        running = expected.start(len(DATA), lambda: 100)
        assert running is not None
        running.update(DATA[:-1] + b"x")
        assert not running.matches()


@pytest.mark.parametrize("part_size", [0, 93, 200])
def test_parts_of_another_size_prove_nothing(part_size: int) -> None:
    expected = ExpectedChecksum.of(composite(100))
    assert expected is not None
    assert expected.start(len(DATA), lambda: part_size) is None


@pytest.mark.parametrize("checksum", ["SHA256:?", "MD5:xyz", f"SHA256:{SHA256}-many"])
def test_a_malformed_checksum_matches_nothing(checksum: str) -> None:
    assert ExpectedChecksum.of(checksum) == ExpectedChecksum(checksum.partition(":")[0], b"", 0)


def test_an_unknown_checksum_is_none() -> None:
    assert ExpectedChecksum.of("XXH3:abc") is None
    assert CrcCombiner.of("XXH3:abc") is None
    assert CrcCombiner.of(f"SHA256:{SHA256}") is None
    assert CrcCombiner.of(f"CRC32:{CRC32}-3") is None


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(DATA)
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("checksum", "matches"),
    [
        (f"MD5:{MD5}", True),
        (composite(100), True),
        (composite(200), None),
        (f"MD5:{'0' * 32}", False),
        ("XXH3:abc", None),
    ],
)
def test_a_file_has_a_checksum(checksum: str, matches: Any, path: Path) -> None:
    assert file_matches(path, checksum, lambda: 100) is matches
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, 5, os.SEEK_SET)
    try:
        assert file_matches(descriptor, checksum, lambda: 100) is matches
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("info", "compare", "is_same"),
    [
        (ObjectInfo("k", 1023), "size", False),
        (ObjectInfo("k", 1024), "size", True),
        (ObjectInfo("k", 1024, "other"), "size_mtime", True),
        (ObjectInfo("k", 1023, "other"), "size_mtime", False),
        (ObjectInfo("k", 1023, "other"), "mtime", True),
        (ObjectInfo("k", 1024, MD5), "etag", True),
        (ObjectInfo("k", 1024, "0" * 32), "etag", False),
        (ObjectInfo("k", 1024, "other"), "checksum", True),
        (ObjectInfo("k", 1024, "other", checksum=f"MD5:{'0' * 32}"), "checksum", False),
    ],
)
def test_a_file_equals_an_object(info: ObjectInfo, compare: str, is_same: bool, path: Path) -> None:
    found = ObjectInfo("k", 1024, checksum=f"SHA256:{SHA256}")
    assert is_same_file(path, info, compare, lambda: found, lambda: 100) is is_same


@pytest.mark.parametrize("is_installed", [True, False])
def test_crc32_is_that_of_zlib_with_isal_and_without(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_installed:
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    integrity.find_crc32.cache_clear()
    integrity._find_factory.cache_clear()
    try:
        assert (integrity.find_crc32() is zlib.crc32) is not is_installed
        for data in (b"", DATA, memoryview(DATA)[3:777], bytearray(DATA * 999)):
            running = integrity.create_hash("CRC32")
            for start in range(0, len(data), 4099):
                running.update(data[start : start + 4099])
            assert int.from_bytes(running.digest(), "big") == zlib.crc32(data)
            assert integrity.find_crc32()(data, 7) == zlib.crc32(data, 7)
    finally:
        integrity.find_crc32.cache_clear()
        integrity._find_factory.cache_clear()
