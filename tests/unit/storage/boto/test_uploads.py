"""Uploads of files: whole, in parts, skipped and failed, in both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, LocalFileFailed, ServiceFailed
from rolerunner.model import S3Uri
from rolerunner.storage.boto import uploads
from rolerunner.storage.protocol import Outcome, Put
from tests import memory_aws as aws

if TYPE_CHECKING:
    from pathlib import Path

URI = S3Uri("bucket", "key")
LARGE_DATA = b"0123456789abc"


def upload(engine: Any, *items: Put) -> list[Outcome]:
    return list(engine.put(items, Cancel()))


@pytest.mark.parametrize("data", [b"", b"small", LARGE_DATA])
def test_the_outcome_describes_the_object(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "f").write_bytes(data)
    (outcome,) = upload(engine, Put(tmp_path / "f", URI, {"ContentType": "text/csv"}))
    entry = memory_aws.objects["bucket", "key"]
    assert outcome == Outcome(URI, len(data), tmp_path / "f", entry.etag)
    assert (entry.body, entry.headers["content-type"]) == (data, "text/csv")


def test_parts_have_their_size_and_the_rest(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S3 requires 5 MiB of each part but the last
    monkeypatch.setattr(uploads, "choose_part_size", lambda _, part: part)
    (tmp_path / "f").write_bytes(LARGE_DATA)
    upload(engine, Put(tmp_path / "f", URI))
    sent = {
        int(each.query["partNumber"]): each.body
        for each in memory_aws.requests_of("PUT")
        if "partNumber" in each.query
    }
    assert sent == {1: b"0123", 2: b"4567", 3: b"89ab", 4: b"c"}


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_a_target_that_is_right_is_skipped(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "f").write_bytes(data)
    (outcome,) = upload(engine, Put(tmp_path / "f", URI, skip=lambda: True))
    assert outcome == Outcome(URI, len(data), tmp_path / "f", status="skipped")
    assert memory_aws.requests == []
    (outcome,) = upload(engine, Put(tmp_path / "f", URI, skip=lambda: False))
    assert outcome.status == "done"


def test_a_failure_leaves_the_others_done(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    items = [Put(tmp_path / "none", S3Uri("bucket", "a")), Put(tmp_path / "f", URI)]
    outcomes = {outcome.uri.key: outcome for outcome in upload(engine, *items)}
    assert outcomes["a"].status == "failed"
    assert isinstance(outcomes["a"].error, LocalFileFailed)
    assert outcomes["key"].status == "done"
    assert memory_aws.bodies() == {"s3://bucket/key": b"x"}


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_a_refused_upload_is_explained(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "f").write_bytes(data)
    memory_aws.hook = lambda _: aws.error(403, "AccessDenied")
    (outcome,) = upload(engine, Put(tmp_path / "f", URI))
    assert isinstance(outcome.error, AccessDenied)
    assert "s3:PutObject" in str(outcome.error) + outcome.error.hint


def test_a_failed_part_aborts_the_upload(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(LARGE_DATA)
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if "partNumber" in request.query else None
    )
    (outcome,) = upload(engine, Put(tmp_path / "f", URI))
    assert isinstance(outcome.error, AccessDenied)
    assert (memory_aws.uploads, memory_aws.objects) == ({}, {})


def test_an_upload_that_cannot_be_aborted_is_named(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(LARGE_DATA)

    def hook(request: aws.Request) -> aws.Outcome:
        if "partNumber" in request.query or request.method == "DELETE":
            return aws.error(403, "AccessDenied")
        return None

    memory_aws.hook = hook
    (outcome,) = upload(engine, Put(tmp_path / "f", URI))
    assert outcome.error is not None
    hint = outcome.error.hint.splitlines()[-1]
    assert "the multipart upload upload-1 of s3://bucket/key could not be aborted" in hint
    assert hint.endswith(
        "aws s3api abort-multipart-upload --bucket bucket --key 'key' --upload-id 'upload-1'"
    )


def test_an_upload_that_is_gone_needs_no_abort(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(LARGE_DATA)

    def hook(request: aws.Request) -> aws.Outcome:
        if "partNumber" in request.query:
            return aws.error(403, "AccessDenied")
        return aws.error(404, "NoSuchUpload") if request.method == "DELETE" else None

    memory_aws.hook = hook
    (outcome,) = upload(engine, Put(tmp_path / "f", URI))
    assert outcome.error is not None
    assert "could not be aborted" not in outcome.error.hint


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_a_condition_that_does_not_hold(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    memory_aws.put("bucket", "key", b"theirs")
    (tmp_path / "f").write_bytes(data)
    for repeated in (False, True):
        put = Put(tmp_path / "f", URI, {"IfNoneMatch": "*"}, repeated=repeated)
        (outcome,) = upload(engine, put)
        assert outcome.error is not None
        assert outcome.error.type == "AlreadyThere"
    assert memory_aws.bodies() == {"s3://bucket/key": b"theirs"}


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_the_own_object_of_an_earlier_attempt_is_a_success(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "f").write_bytes(data)
    (first,) = upload(engine, Put(tmp_path / "f", URI, {"IfNoneMatch": "*"}))
    (again,) = upload(engine, Put(tmp_path / "f", URI, {"IfNoneMatch": "*"}, repeated=True))
    assert (again.status, again.etag) == ("done", first.etag)


@pytest.mark.usefixtures("_no_pauses")
def test_an_upload_without_an_id_is_an_error(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(LARGE_DATA)
    memory_aws.hook = lambda request: (
        aws.xml(f"<InitiateMultipartUploadResult xmlns='{aws.NAMESPACE}'/>")
        if "uploads" in request.query
        else None
    )
    (outcome,) = upload(engine, Put(tmp_path / "f", URI))
    assert isinstance(outcome.error, ServiceFailed)
    assert "created a multipart upload without an upload ID" in str(outcome.error)
