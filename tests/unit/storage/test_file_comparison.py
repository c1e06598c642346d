"""Files are compared with objects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.storage.file_comparison import file_matches, is_same_file
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.storage.checksums import DATA, MD5, SHA256, composite

if TYPE_CHECKING:
    from pathlib import Path


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
