"""The memory that an upload takes while it is sent, and what is left to boto3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.model import S3Uri
from rolerunner.storage.native.relays import RelayTasks
from rolerunner.storage.native.templates import UnsupportedRequest
from rolerunner.storage.native.uploads import UploadTasks, measure_memory
from rolerunner.storage.protocol import Copy, ObjectInfo, Put
from rolerunner.storage.upload_source import UploadSource

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = {"ChecksumAlgorithm": "CRC128"}


@pytest.mark.parametrize(("size", "memory"), [(0, 0), (9, 9), (10, 0), (11, 0)])
def test_only_small_files_are_held_in_memory(size: int, memory: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert measure_memory(path, 10) == memory


def test_a_file_that_is_gone_takes_no_memory(tmp_path: Path) -> None:
    assert measure_memory(tmp_path / "none", 10) == 0


def test_a_checksum_that_cannot_be_computed_is_left_to_boto3(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    unused: Any = None
    plain: Any = SimpleNamespace(
        requests=None, uploads=None, relays=None, tuning=SimpleNamespace(large=10)
    )
    put = Put(tmp_path / "file", S3Uri("b", "k"), UNKNOWN)
    file = UploadSource.of(put.source)
    upload = UploadTasks(unused, unused, plain)._upload_whole(put, file, unused)
    copy = Copy(S3Uri("b", "k"), S3Uri("c", "k"), options=UNKNOWN)
    info = ObjectInfo("k", 1, "e")
    relay = RelayTasks(unused, unused, plain)._relay_whole(copy, info, unused, unused, unused)
    for task in (upload, relay):
        with pytest.raises(UnsupportedRequest, match="CRC128 cannot be computed"):
            next(task)
