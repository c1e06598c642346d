"""Objects that are stored as their bytes arrive: whole or in parts, in both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.boto import streams
from rolerunner.storage.protocol import Outcome, Store
from tests import memory_aws as aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URI = S3Uri("bucket", "key")
LARGE_DATA = b"0123456789abc"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 requires 5 MiB of each part but the last; S3 in memory does not."""
    monkeypatch.setattr(streams, "choose_part_size", lambda _, part: part)


def store(engine: Any, *items: Any) -> list[Outcome]:
    return list(engine.store(items, Cancel()))


def sent_parts(memory_aws: aws.Store) -> dict[int, bytes]:
    return {
        int(each.query["partNumber"]): each.body
        for each in memory_aws.requests_of("PUT")
        if "partNumber" in each.query
    }


@pytest.mark.parametrize("data", [b"", b"small", LARGE_DATA])
def test_the_outcome_describes_the_object(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    blocks = [data[:3], data[3:]]
    (outcome,) = store(engine, Store(URI, len(data), blocks, {"ContentType": "text/csv"}))
    entry = memory_aws.objects["bucket", "key"]
    assert (entry.body, entry.headers["content-type"]) == (data, "text/csv")
    assert (outcome.uri, outcome.size, outcome.etag) == (URI, len(data), entry.etag)
    assert outcome.status == "done"


def test_parts_have_their_size_and_the_rest(engine: Any, memory_aws: aws.Store) -> None:
    store(engine, Store(URI, len(LARGE_DATA), [LARGE_DATA[:1], LARGE_DATA[1:]]))
    assert sent_parts(memory_aws) == {1: b"0123", 2: b"4567", 3: b"89ab", 4: b"c"}


def test_outcomes_pass_through_unchanged(engine: Any, memory_aws: aws.Store) -> None:
    failed = Outcome(S3Uri("bucket", "bad"), status="failed", error=StepError("no name"))
    outcomes = store(engine, failed, Store(URI, 5, [b"small"]))
    assert failed in outcomes
    assert memory_aws.bodies() == {"s3://bucket/key": b"small"}


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_a_target_that_is_right_is_skipped(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    seen: list[Optional[bytes]] = []

    def skip_with(answer: bool) -> Callable[[Optional[bytes]], bool]:
        def skip(found: Optional[bytes]) -> bool:
            seen.append(found)
            return answer

        return skip

    (outcome,) = store(engine, Store(URI, len(data), [data], skip=skip_with(True)))
    assert (outcome.status, outcome.size) == ("skipped", len(data))
    assert memory_aws.requests == []
    (outcome,) = store(engine, Store(URI, len(data), [data], skip=skip_with(False)))
    assert outcome.status == "done"
    # the bytes of a large object are not held
    assert seen == [data if data == b"small" else None] * 2


@pytest.mark.parametrize("data", [b"small", LARGE_DATA])
def test_a_refused_object_fails_alone(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.key == "refused" else None
    )
    refused = Store(S3Uri("bucket", "refused"), len(data), [data])
    outcomes = {each.uri.key: each for each in store(engine, refused, Store(URI, 5, [b"other"]))}
    assert isinstance(outcomes["refused"].error, AccessDenied)
    assert memory_aws.bodies() == {"s3://bucket/key": b"other"}


def test_a_refused_part_aborts_the_upload(engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.query.get("partNumber") == "2" else None
    )
    (outcome,) = store(engine, Store(URI, len(LARGE_DATA), [LARGE_DATA]))
    assert isinstance(outcome.error, AccessDenied)
    assert (memory_aws.uploads, memory_aws.objects) == ({}, {})


@pytest.mark.parametrize("size", [5, len(LARGE_DATA)])
@pytest.mark.parametrize("first", [b"", b"01234"])
def test_bytes_that_cannot_be_read_are_an_error_of_the_source(
    engine: Any, memory_aws: aws.Store, size: int, first: bytes
) -> None:
    def read_blocks() -> Iterator[bytes]:
        yield first
        raise StepError("the archive is damaged", type="Damaged")

    with pytest.raises(StepError, match="the archive is damaged"):
        store(engine, Store(URI, size, read_blocks()))
    assert (memory_aws.uploads, memory_aws.objects) == ({}, {})


@pytest.mark.parametrize("size", [0, 4, len(LARGE_DATA)])
def test_what_is_written_becomes_an_object(engine: Any, memory_aws: aws.Store, size: int) -> None:
    data = LARGE_DATA[:size]
    with engine.open_upload(URI, {}, len(LARGE_DATA), Cancel()) as stream:
        for at in range(size):
            assert stream.write(data[at : at + 1]) == 1
    assert memory_aws.bodies() == {"s3://bucket/key": data}
    assert stream.info is not None
    assert (stream.info.size, stream.info.etag) == (size, memory_aws.objects["bucket", "key"].etag)


def test_an_error_of_the_writer_leaves_nothing(engine: Any, memory_aws: aws.Store) -> None:
    def write_half() -> None:
        with engine.open_upload(URI, {}, len(LARGE_DATA), Cancel()) as stream:
            stream.write(LARGE_DATA)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (memory_aws.uploads, memory_aws.objects) == ({}, {})


def test_a_condition_holds_for_what_an_earlier_attempt_wrote(
    engine: Any, memory_aws: aws.Store
) -> None:
    condition = {"IfNoneMatch": "*"}
    for repeated, expected in ((False, "done"), (False, "failed"), (True, "done")):
        (outcome,) = store(engine, Store(URI, 5, [b"small"], condition, repeated=repeated))
        assert outcome.status == expected
    assert memory_aws.bodies() == {"s3://bucket/key": b"small"}
