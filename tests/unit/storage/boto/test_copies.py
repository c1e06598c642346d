"""Copies within S3: whole, in parts, with replaced options, and refused, in both engines."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import NotFound, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.boto.copies import make_copied
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, make_skipped_copy
from tests import memory_aws as aws

SOURCE, TARGET = S3Uri("source", "in/a b"), S3Uri("target", "out")
DATA = b"0123456789"
HEADERS = {"content-type": "text/csv", "cache-control": "no-store", "x-amz-meta-a": "b"}


def copy(engine: Any, **fields: Any) -> Outcome:
    (outcome,) = engine.copy([Copy(SOURCE, TARGET, **fields)], Cancel())
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.fixture
def source(memory_aws: aws.Store) -> aws.Entry:
    """The object to copy."""
    return memory_aws.put("source", "in/a b", DATA, headers=dict(HEADERS), tags="k=v")


def stored(memory_aws: aws.Store) -> tuple[bytes, dict[str, str], str]:
    entry = memory_aws.objects["target", "out"]
    return entry.body, entry.headers, entry.tags


@pytest.mark.parametrize("large", [11, 10])
def test_everything_is_taken_over(
    engine: Any, memory_aws: aws.Store, source: aws.Entry, large: int
) -> None:
    outcome = copy(engine, large=large)
    assert outcome.error is None
    assert stored(memory_aws) == (DATA, HEADERS, "k=v")
    assert (outcome.uri, outcome.size, outcome.source) == (TARGET, 10, SOURCE)
    assert outcome.etag == memory_aws.objects["target", "out"].etag
    assert outcome.source_info is not None
    assert outcome.source_info.etag == source.etag
    created = [each for each in memory_aws.requests_of("POST") if "uploads" in each.query]
    assert len(created) == (1 if large == 10 else 0)


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("large", [11, 10])
def test_one_replaced_option_keeps_the_others(
    engine: Any, memory_aws: aws.Store, large: int
) -> None:
    outcome = copy(engine, options={"ContentType": "text/plain", "Tagging": "x=y"}, large=large)
    assert outcome.error is None
    assert stored(memory_aws) == (DATA, {**HEADERS, "content-type": "text/plain"}, "x=y")


@pytest.mark.usefixtures("source")
def test_replaced_tags_keep_the_headers(engine: Any, memory_aws: aws.Store) -> None:
    assert copy(engine, options={"Tagging": "x=y"}).error is None
    assert stored(memory_aws) == (DATA, HEADERS, "x=y")


def test_a_known_source_needs_no_head(
    engine: Any, memory_aws: aws.Store, source: aws.Entry
) -> None:
    copy(engine, info=ObjectInfo("in/a b", 10, source.etag))
    assert [each.method for each in memory_aws.requests] == ["PUT"]
    headers = memory_aws.requests[0].headers
    assert headers["x-amz-copy-source-if-match"] == f'"{source.etag}"'
    assert headers["x-amz-copy-source"] == "source/in/a%20b"


@pytest.mark.usefixtures("source")
def test_a_target_that_is_right_is_skipped(engine: Any, memory_aws: aws.Store) -> None:
    info, there = ObjectInfo("in/a b", 10, "e"), ObjectInfo("out", 10, "t")
    outcome = copy(engine, info=info, skip=lambda: True, there=there)
    assert (outcome.status, outcome.size, outcome.etag) == ("skipped", 10, "t")
    assert memory_aws.requests == []
    assert copy(engine, skip=lambda: False).status == "done"


def test_outcomes() -> None:
    info = ObjectInfo("in/a b", 10, "e")
    item = Copy(SOURCE, TARGET)
    assert make_copied(item, info, "t", "v") == Outcome(
        TARGET, 10, None, "t", "v", source=SOURCE, source_info=info
    )
    assert make_skipped_copy(item, None) == Outcome(TARGET, 0, status="skipped", source=SOURCE)


def test_a_missing_source(engine: Any) -> None:
    outcome = copy(engine)
    assert outcome.status == "failed"
    assert isinstance(outcome.error, NotFound)


@pytest.mark.usefixtures("source", "_no_pauses")
def test_a_source_that_changed_is_copied_as_it_is_now(engine: Any, memory_aws: aws.Store) -> None:
    outcome = copy(engine, info=ObjectInfo("in/a b", 10, "other"))
    assert memory_aws.requests_of("PUT")[0].headers["x-amz-copy-source-if-match"] == '"other"'
    assert outcome.error is None


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("large", [11, 10])
def test_a_condition_of_the_target(engine: Any, memory_aws: aws.Store, large: int) -> None:
    memory_aws.put("target", "out", b"theirs")
    for repeated in (False, True):
        outcome = copy(engine, options={"IfNoneMatch": "*"}, large=large, repeated=repeated)
        assert outcome.error is not None
        assert outcome.error.type == "AlreadyThere"
    assert memory_aws.objects["target", "out"].body == b"theirs"


@pytest.mark.usefixtures("source")
def test_the_own_copy_of_an_earlier_attempt_is_a_success(engine: Any) -> None:
    first = copy(engine, options={"IfNoneMatch": "*"})
    again = copy(engine, options={"IfNoneMatch": "*"}, repeated=True)
    assert (again.status, again.etag) == ("done", first.etag)


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("large", [11, 10])
def test_a_source_condition_that_is_refused_wrongly(
    engine: Any, memory_aws: aws.Store, large: int
) -> None:
    memory_aws.hook = lambda request: (
        aws.error(412, "PreconditionFailed")
        if "x-amz-copy-source-if-match" in request.headers
        else None
    )
    error = copy(engine, large=large).error
    assert isinstance(error, StepError)
    assert error.type == "IfMatchRefused"
    assert str(error).startswith("s3://source/in/a b: If-Match was refused")


@pytest.mark.usefixtures("source", "_no_pauses")
def test_a_copy_without_an_etag_is_not_believed(engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.hook = lambda request: (
        aws.xml(f"<CopyObjectResult xmlns='{aws.NAMESPACE}'/>") if request.method == "PUT" else None
    )
    error = copy(engine).error
    assert error is not None
    assert "without an ETag" in str(error)


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("large", [11, 10])
def test_a_target_is_kept_where_the_server_ignores_conditions(
    engine: Any, memory_aws: aws.Store, large: int
) -> None:
    memory_aws.put("target", "out", b"theirs")

    def ignore_condition(request: aws.Request) -> aws.Outcome:
        request.headers.pop("if-none-match", None)
        return None

    memory_aws.hook = ignore_condition
    error = copy(engine, options={"IfNoneMatch": "*"}, large=large).error
    assert error is not None
    assert error.type == "AlreadyThere"
    assert memory_aws.objects["target", "out"].body == b"theirs"
    assert memory_aws.uploads == {}


@pytest.mark.usefixtures("source")
def test_a_condition_that_the_server_applies_to_the_source(
    engine: Any, memory_aws: aws.Store
) -> None:
    """Swift compares If-None-Match of a copy with its source, which always exists."""
    memory_aws.hook = lambda request: (
        aws.error(412, "PreconditionFailed")
        if "x-amz-copy-source" in request.headers and "if-none-match" in request.headers
        else None
    )
    assert copy(engine, options={"IfNoneMatch": "*"}).status == "done"
    assert memory_aws.objects["target", "out"].body == DATA
    memory_aws.put("target", "out", b"theirs")
    error = copy(engine, options={"IfNoneMatch": "*"}).error
    assert error is not None
    assert error.type == "AlreadyThere"
    assert memory_aws.objects["target", "out"].body == b"theirs"


@pytest.mark.usefixtures("source")
def test_a_refused_condition_is_believed_where_the_target_cannot_be_read(
    engine: Any, memory_aws: aws.Store
) -> None:
    def refuse(request: aws.Request) -> aws.Outcome:
        if "if-none-match" in request.headers:
            return aws.error(412, "PreconditionFailed")
        return aws.error(403, "AccessDenied") if request.key == "out" else None

    memory_aws.hook = refuse
    error = copy(engine, options={"IfNoneMatch": "*"}).error
    assert error is not None
    assert error.type == "AlreadyThere"
    assert ("target", "out") not in memory_aws.objects
