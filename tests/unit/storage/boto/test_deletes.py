"""Deletions in batches: by bucket, unchanged, refused and repeated, in both engines."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests import memory_aws as aws


def delete(engine: Any, *items: ObjectInfo, **more: Any) -> dict[str, Outcome]:
    return {
        str(outcome.uri): outcome for outcome in engine.delete(items, "bucket", Cancel(), **more)
    }


def fill(memory_aws: aws.Store, *keys: str) -> list[ObjectInfo]:
    return [ObjectInfo(key, 1, memory_aws.put("bucket", key, b"x").etag) for key in keys]


def test_nothing_to_delete_sends_nothing(engine: Any, memory_aws: aws.Store) -> None:
    assert delete(engine) == {}
    assert memory_aws.requests == []


@pytest.mark.parametrize(("count", "batches"), [(1, 1), (1000, 1), (1001, 2)])
def test_a_batch_has_a_thousand_keys(
    engine: Any, memory_aws: aws.Store, count: int, batches: int
) -> None:
    items = fill(memory_aws, *(f"k{number}" for number in range(count)))
    outcomes = delete(engine, *items)
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert (len(outcomes), memory_aws.objects) == (count, {})
    assert len(memory_aws.requests_of("POST")) == batches


def test_a_bucket_has_batches_of_its_own(engine: Any, memory_aws: aws.Store) -> None:
    (first,) = fill(memory_aws, "a")
    memory_aws.put("other", "a", b"x")
    outcomes = delete(engine, first, ObjectInfo("a", 1, bucket="other"))
    assert sorted(outcomes) == ["s3://bucket/a", "s3://other/a"]
    assert sorted(each.bucket for each in memory_aws.requests_of("POST")) == ["bucket", "other"]
    assert memory_aws.objects == {}


def test_an_object_that_is_gone_is_deleted(engine: Any) -> None:
    assert delete(engine, ObjectInfo("none", 1))["s3://bucket/none"].status == "done"


def test_an_object_that_changed_is_kept(engine: Any, memory_aws: aws.Store) -> None:
    same, changed = fill(memory_aws, "same", "changed")
    memory_aws.put("bucket", "changed", b"new")
    outcomes = delete(engine, same, changed, ObjectInfo("unknown", 1), unchanged=True)
    assert outcomes["s3://bucket/same"].status == "done"
    for key in ("changed", "unknown"):
        failed = outcomes[f"s3://bucket/{key}"]
        assert (failed.status, failed.error is not None) == ("failed", True)
    assert "its ETag is unknown" in str(outcomes["s3://bucket/unknown"].error)
    assert memory_aws.bodies() == {"s3://bucket/changed": b"new"}


def test_a_key_that_xml_cannot_hold_is_deleted_alone(engine: Any, memory_aws: aws.Store) -> None:
    outcomes = delete(engine, *fill(memory_aws, "a\x01", "b"))
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert memory_aws.objects == {}
    assert [each.key for each in memory_aws.requests_of("DELETE")] == ["a\x01"]


def test_a_refused_key_leaves_the_others_deleted(engine: Any, memory_aws: aws.Store) -> None:
    items = fill(memory_aws, "a", "b")

    def hook(request: aws.Request) -> aws.Outcome:
        if request.method != "POST":
            return None
        return aws.delete_result(
            [aws.delete_error("a", "AccessDenied"), "<Deleted><Key>b</Key></Deleted>"]
        )

    memory_aws.hook = hook
    outcomes = delete(engine, *items)
    assert outcomes["s3://bucket/b"].status == "done"
    error = outcomes["s3://bucket/a"].error
    assert isinstance(error, AccessDenied)
    assert "s3:DeleteObject" in str(error) + error.hint


@pytest.mark.parametrize(
    ("response", "name"),
    [
        (aws.error(403, "AccessDenied"), "AccessDenied"),
        (aws.error(404, "NoSuchBucket"), "NoSuchBucket"),
    ],
)
def test_a_refused_batch_fails_each_of_its_objects(
    engine: Any, memory_aws: aws.Store, response: aws.Response, name: str
) -> None:
    items = fill(memory_aws, "a", "b")
    memory_aws.hook = lambda _: response
    outcomes = delete(engine, *items)
    errors = [outcome.error for outcome in outcomes.values()]
    assert [error.type for error in errors if error is not None] == [name, name]


def test_a_key_that_the_response_leaves_out_is_not_believed(
    engine: Any, memory_aws: aws.Store
) -> None:
    items = fill(memory_aws, "a", "b")
    memory_aws.hook = lambda request: (
        aws.delete_result(["<Deleted><Key>b</Key></Deleted>"]) if request.method == "POST" else None
    )
    outcomes = delete(engine, *items)
    assert outcomes["s3://bucket/b"].status == "done"
    assert str(outcomes["s3://bucket/a"].error) == (
        "s3://bucket/a: S3 did not say whether it was deleted"
    )


def test_a_version_is_named(engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.hook = lambda request: (
        aws.delete_result(["<Deleted><Key>a</Key><VersionId>v1</VersionId></Deleted>"])
        if b"<VersionId>v1</VersionId>" in request.body
        else aws.error(400, "MalformedXML")
    )
    outcomes = delete(engine, ObjectInfo("a", 1, version="v1"), unchanged=True)
    assert outcomes["s3://bucket/a"].status == "done"
