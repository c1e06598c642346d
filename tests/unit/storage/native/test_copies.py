"""Copies within S3 are of the object that was listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from tests.memory_aws import Store

SOURCE, TARGET = S3Uri("bucket", "a b+ü"), S3Uri("other", "copy")


def copy(**options: Any) -> Outcome:
    (outcome,) = open_engine("native").copy([Copy(SOURCE, TARGET, **options)], Cancel())
    return outcome  # type: ignore[no-any-return]


def test_an_object_that_was_not_listed_is_looked_up(memory_aws: Store) -> None:
    entry = memory_aws.put("bucket", SOURCE.key, b"data")
    outcome = copy()
    assert (outcome.status, outcome.size, outcome.etag) == ("done", 4, entry.etag)
    assert memory_aws.bodies()["s3://other/copy"] == b"data"
    (request,) = memory_aws.requests_of("PUT")
    assert request.headers["x-amz-copy-source"] == "bucket/a%20b%2B%C3%BC"
    assert request.headers["x-amz-copy-source-if-match"] == f'"{entry.etag}"'


def test_an_object_that_changed_is_looked_up_again(memory_aws: Store) -> None:
    entry = memory_aws.put("bucket", SOURCE.key, b"new")
    outcome = copy(info=ObjectInfo(SOURCE.key, 5, "0" * 32))
    assert (outcome.status, outcome.size) == ("done", 3)
    conditions = [
        each.headers["x-amz-copy-source-if-match"] for each in memory_aws.requests_of("PUT")
    ]
    assert conditions == [f'"{"0" * 32}"', f'"{entry.etag}"']


def test_new_tags_replace_those_of_the_source(memory_aws: Store) -> None:
    memory_aws.put("bucket", SOURCE.key, b"data")
    assert copy(options={"Tagging": "a=b"}).status == "done"
    (request,) = memory_aws.requests_of("PUT")
    assert request.headers["x-amz-tagging-directive"] == "REPLACE"
    assert request.headers["x-amz-tagging"] == "a=b"


def test_a_copy_that_is_there_already_is_skipped(memory_aws: Store) -> None:
    info = ObjectInfo(SOURCE.key, 4, "e")
    outcome = copy(info=info, skip=lambda: True, there=ObjectInfo("copy", 4, "there"))
    assert (outcome.status, outcome.etag) == ("skipped", "there")
    assert memory_aws.requests == []
