"""Checksums of whole objects and of parts."""

from __future__ import annotations

import pytest

from rolerunner.storage.crc_combiner import CrcCombiner
from rolerunner.storage.integrity import ExpectedChecksum, extract_checksum, has_checksum, is_md5
from tests.unit.storage.checksums import CRC32, DATA, MD5, SHA256, composite


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
