"""A download appears under its name once it is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, NotFound
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Get, Outcome
from tests.memory_aws import Response
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

URI = S3Uri("bucket", "key")
BODY = b"12345"


def download(path: Path, **options: Any) -> Outcome:
    (outcome,) = open_engine("native").get([Get(URI, path, **options)], Cancel())
    return outcome  # type: ignore[no-any-return]


def test_the_outcome_has_what_s3_reports(tmp_path: Path, memory_aws: Store) -> None:
    entry = memory_aws.put("bucket", "key", BODY)
    outcome = download(tmp_path / "file")
    assert (outcome.status, outcome.size, outcome.etag) == ("done", 5, entry.etag)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_file_that_is_there_already_is_skipped(tmp_path: Path, memory_aws: Store) -> None:
    assert download(tmp_path / "file", skip=lambda: True).status == "skipped"
    assert memory_aws.requests == []


def test_a_missing_object_is_named(tmp_path: Path, memory_aws: Store) -> None:
    del memory_aws
    error = download(tmp_path / "file").error
    assert isinstance(error, NotFound)
    assert "s3://bucket/key" in error.message


def test_wrong_bytes_leave_no_file(tmp_path: Path, memory_aws: Store) -> None:
    entry = memory_aws.put("bucket", "key", BODY)
    headers = {"ETag": f'"{entry.etag}"', "Last-Modified": "Mon, 02 Jan 2023 00:00:00 GMT"}
    memory_aws.hook = lambda request: (
        Response(200, headers, b"54321") if request.method == "GET" else None
    )
    assert isinstance(download(tmp_path / "file").error, IntegrityFailed)
    assert list(tmp_path.iterdir()) == []
