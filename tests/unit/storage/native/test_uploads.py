"""Small files are uploaded by one request, with their checksum."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.native.uploads import measure_memory
from rolerunner.storage.protocol import Outcome, Put
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

URI = S3Uri("bucket", "key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"12345")
    os.utime(tmp_path / "file", (1_700_000_000, 1_700_000_000))
    return tmp_path / "file"


def upload(path: Path, **options: Any) -> Outcome:
    (outcome,) = open_engine("native").put([Put(path, URI, **options)], Cancel())
    return outcome  # type: ignore[no-any-return]


@pytest.mark.parametrize(("size", "memory"), [(0, 0), (9, 9), (10, 0), (11, 0)])
def test_only_small_files_are_held_in_memory(size: int, memory: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert measure_memory(path, 10) == memory


def test_a_file_that_is_gone_takes_no_memory(tmp_path: Path) -> None:
    assert measure_memory(tmp_path / "none", 10) == 0


def test_a_file_is_sent_with_its_checksum_and_time(path: Path, memory_aws: Store) -> None:
    outcome = upload(path, options={"ChecksumAlgorithm": "SHA256"}, keep_time=True)
    (request,) = memory_aws.requests_of("PUT")
    assert (outcome.status, outcome.size) == ("done", 5)
    assert request.headers["x-amz-checksum-sha256"] == compute_digest("SHA256", b"12345")
    assert "1700000000" in " ".join(request.headers.values())


def test_a_file_that_is_there_already_is_skipped(path: Path, memory_aws: Store) -> None:
    assert upload(path, skip=lambda: True).status == "skipped"
    assert memory_aws.requests == []


def test_a_missing_file_fails_alone(path: Path, memory_aws: Store) -> None:
    items = [Put(path.with_name("missing"), URI), Put(path, S3Uri("bucket", "other"))]
    found = {each.uri.key: each for each in open_engine("native").put(items, Cancel())}
    assert (found["key"].status, found["other"].status) == ("failed", "done")
    assert list(memory_aws.bodies()) == ["s3://bucket/other"]
