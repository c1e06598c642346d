"""Objects are deleted in batches, and each has an outcome of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.common.cancellation import Cancel
from rolerunner.storage.protocol import ObjectInfo
from tests.memory_aws import error
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from tests.memory_aws import Store


def put_objects(store: Store, count: int) -> list[ObjectInfo]:
    """Returns the objects that were put into the bucket."""
    entries = {f"{number:04}": store.put("bucket", f"{number:04}", b"x") for number in range(count)}
    return [ObjectInfo(key, 1, entry.etag) for key, entry in entries.items()]


def test_a_request_deletes_a_thousand(memory_aws: Store) -> None:
    objects = put_objects(memory_aws, 1001)
    batches = list(open_engine("native").delete_batches(objects, "bucket", Cancel()))
    assert sorted(map(len, batches)) == [1, 1000]
    assert {each.status for batch in batches for each in batch} == {"done"}
    assert memory_aws.bodies() == {}
    assert len(memory_aws.requests) == 2


def test_a_changed_object_is_kept(memory_aws: Store) -> None:
    objects = put_objects(memory_aws, 2)
    memory_aws.put("bucket", "0001", b"changed")
    outcomes = open_engine("native").delete(objects, "bucket", Cancel(), unchanged=True)
    assert {each.uri.key: each.status for each in outcomes} == {"0000": "done", "0001": "failed"}
    assert list(memory_aws.bodies()) == ["s3://bucket/0001"]


def test_a_refused_request_fails_its_objects(memory_aws: Store) -> None:
    objects = put_objects(memory_aws, 2)
    memory_aws.hook = lambda _: error(403, "AccessDenied")
    outcomes = list(open_engine("native").delete(objects, "bucket", Cancel()))
    assert [each.status for each in outcomes] == ["failed", "failed"]
    assert len(memory_aws.bodies()) == 2
