"""Copies that one role reads and another stores, once they are verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, Outcome
from tests.memory_aws import Response
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from tests.memory_aws import Store

SOURCE, TARGET = S3Uri("bucket", "key"), S3Uri("other", "copy")


def relay(*, keep_time: bool = False) -> Outcome:
    source, target = open_engine("native"), open_engine("native")
    item = Copy(SOURCE, TARGET, keep_time=keep_time)
    (outcome,) = target.relay([item], source, Cancel())
    return outcome  # type: ignore[no-any-return]


def test_headers_and_tags_are_kept(memory_aws: Store) -> None:
    entry = memory_aws.put("bucket", "key", b"data")
    entry.headers.update({"content-type": "text/csv", "x-amz-meta-owner": "me"})
    entry.tags = "a=b"
    assert (relay().status, memory_aws.bodies()[str(TARGET)]) == ("done", b"data")
    stored = memory_aws.objects["other", "copy"]
    assert stored.headers["content-type"] == "text/csv"
    assert stored.headers["x-amz-meta-owner"] == "me"
    assert stored.tags == "a=b"


@pytest.mark.parametrize(
    ("keep_time", "modified", "kept"),
    [
        (True, "Mon, 02 Jan 2023 00:00:00 GMT", "1672617600"),
        (True, "", None),  # a server that does not say
        (False, "Mon, 02 Jan 2023 00:00:00 GMT", None),
    ],
)
def test_the_time_of_the_source_is_kept_where_it_is_asked_for_and_known(
    keep_time: bool, modified: str, kept: Optional[str], memory_aws: Store
) -> None:
    entry = memory_aws.put("bucket", "key", b"data")
    headers = {"ETag": f'"{entry.etag}"', "Last-Modified": modified}
    memory_aws.hook = lambda request: (
        Response(200, {name: value for name, value in headers.items() if value}, b"data")
        if request.method == "GET" and "tagging" not in request.query
        else None
    )
    assert relay(keep_time=keep_time).status == "done"
    assert memory_aws.objects["other", "copy"].headers.get("x-amz-meta-mtime") == kept


def test_wrong_bytes_are_not_stored(memory_aws: Store) -> None:
    entry = memory_aws.put("bucket", "key", b"data")
    headers = {"ETag": f'"{entry.etag}"', "Last-Modified": "Mon, 02 Jan 2023 00:00:00 GMT"}
    memory_aws.hook = lambda request: (
        Response(200, headers, b"atad")
        if request.method == "GET" and "tagging" not in request.query
        else None
    )
    assert isinstance(relay().error, IntegrityFailed)
    assert list(memory_aws.bodies()) == [str(SOURCE)]
