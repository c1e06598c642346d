"""Downloads to files: whole, in ranges, skipped and damaged, in both engines."""

from __future__ import annotations

import gzip
import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, NotFound
from rolerunner.model import S3Uri
from rolerunner.storage.boto.downloads import make_skipped_download
from rolerunner.storage.boto.retries import MAX_TRIES
from rolerunner.storage.decompression import Decompression
from rolerunner.storage.protocol import Get, ObjectInfo, Outcome
from tests import memory_aws as aws

if TYPE_CHECKING:
    from pathlib import Path

URI = S3Uri("bucket", "key")
LARGE_DATA = b"0123456789abc"


def download(engine: Any, *items: Get) -> list[Outcome]:
    return list(engine.get(items, Cancel()))


@pytest.mark.parametrize("data", [b"", b"small", LARGE_DATA])
def test_the_outcome_describes_the_object(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    entry = memory_aws.put("bucket", "key", data)
    (outcome,) = download(engine, Get(URI, tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == data
    assert (outcome.status, outcome.size, outcome.path, outcome.etag) == (
        "done",
        len(data),
        tmp_path / "f",
        entry.etag,
    )
    assert outcome.info is not None
    assert outcome.info.checksum == f"MD5:{hashlib.md5(data).hexdigest()}"


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_the_time_of_the_object_is_kept(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    moment = datetime(2026, 1, 31, 6, tzinfo=timezone.utc)
    memory_aws.put("bucket", "key", data, modified=moment)
    download(engine, Get(URI, tmp_path / "f", keep_time=True))
    assert (tmp_path / "f").stat().st_mtime == moment.timestamp()


@pytest.mark.parametrize("repeats", [1, 1000])
def test_what_is_compressed_is_decompressed(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, repeats: int
) -> None:
    data = gzip.compress(b"text" * repeats)
    memory_aws.put("bucket", "key", data)
    (outcome,) = download(engine, Get(URI, tmp_path / "f", decompress=Decompression("gzip")))
    assert (tmp_path / "f").read_bytes() == b"text" * repeats
    assert outcome.size == len(data)


@pytest.mark.parametrize("data", [b"no gzip", LARGE_DATA])
def test_what_is_not_compressed_is_an_error(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    memory_aws.put("bucket", "key", data)
    (outcome,) = download(engine, Get(URI, tmp_path / "f", decompress=Decompression("gzip")))
    assert outcome.status == "failed"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_right_is_skipped(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    info = ObjectInfo("key", 7, "e")
    (outcome,) = download(engine, Get(URI, tmp_path / "f", info, skip=lambda: True))
    assert outcome == Outcome(URI, 7, tmp_path / "f", "e", status="skipped")
    assert memory_aws.requests == []
    assert make_skipped_download(Get(URI, tmp_path / "f")) == Outcome(
        URI, 0, tmp_path / "f", status="skipped"
    )


def test_a_missing_object_leaves_the_others_done(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    memory_aws.put("bucket", "key", b"x")
    items = [Get(S3Uri("bucket", "none"), tmp_path / "a"), Get(URI, tmp_path / "f")]
    outcomes = {outcome.uri.key: outcome for outcome in download(engine, *items)}
    assert isinstance(outcomes["none"].error, NotFound)
    assert outcomes["key"].status == "done"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def corrupt(request: aws.Request, store: aws.Store) -> aws.Outcome:
    """Returns the response to a GET with another first byte, at its length."""
    if request.method != "GET":
        return None
    response = store.respond(request)
    return aws.Response(response.status, response.headers, b"X" + response.body[1:])


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_damaged_bytes_are_never_a_file(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    memory_aws.put("bucket", "key", data)
    (tmp_path / "f").write_bytes(b"old")
    memory_aws.hook = lambda request: corrupt(request, memory_aws)
    (outcome,) = download(engine, Get(URI, tmp_path / "f"))
    assert isinstance(outcome.error, IntegrityFailed)
    assert "checksum mismatch" in str(outcome.error)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"
    assert len(memory_aws.requests_of("HEAD")) == MAX_TRIES


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_a_transfer_damaged_once_is_repeated(
    engine: Any, memory_aws: aws.Store, tmp_path: Path, data: bytes
) -> None:
    memory_aws.put("bucket", "key", data)
    damaged: list[int] = []

    def hook(request: aws.Request) -> aws.Outcome:
        if request.method != "GET" or damaged:
            return None
        damaged.append(1)
        return corrupt(request, memory_aws)

    memory_aws.hook = hook
    (outcome,) = download(engine, Get(URI, tmp_path / "f"))
    assert outcome.error is None
    assert (tmp_path / "f").read_bytes() == data


@pytest.mark.usefixtures("_no_pauses")
def test_a_large_object_that_changed_since_it_was_listed_is_taken_as_it_is_now(
    engine: Any, memory_aws: aws.Store, tmp_path: Path
) -> None:
    entry = memory_aws.put("bucket", "key", LARGE_DATA)
    info = ObjectInfo("key", len(LARGE_DATA), "other")
    (outcome,) = download(engine, Get(URI, tmp_path / "f", info))
    assert (outcome.error, outcome.etag) == (None, entry.etag)
    assert (tmp_path / "f").read_bytes() == LARGE_DATA
