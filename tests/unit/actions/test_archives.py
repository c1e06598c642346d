"""Archived objects: which are looked at, and which can be read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.archives import (
    ReadableRequest,
    is_readable,
    iterate_unreadable,
    locate,
    may_be_archived,
)
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import EMPTY_LIST
from rolerunner.storage.protocol import ObjectInfo, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.storage.protocol import RequestSender, Storage

URI = S3Uri("box", "a")


@pytest.mark.parametrize(
    ("storage_class", "looked_at"),
    [
        ("STANDARD", False),
        ("GLACIER_IR", False),
        ("GLACIER", True),
        ("DEEP_ARCHIVE", True),
        ("INTELLIGENT_TIERING", True),
    ],
)
def test_which_objects_are_looked_at(storage_class: str, looked_at: bool) -> None:
    info = ObjectInfo("a", 1, storage_class=storage_class)
    assert may_be_archived(info) is looked_at
    assert not may_be_archived(replace(info, deleted=True))


@pytest.mark.parametrize(
    ("response", "readable"),
    [
        ({}, True),
        ({"StorageClass": "GLACIER_IR"}, True),
        ({"StorageClass": "GLACIER"}, False),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, False),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": 'ongoing-request="false", expiry="x"'}, True),
        ({"StorageClass": "INTELLIGENT_TIERING"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, False),
    ],
)
def test_what_the_headers_say(response: dict[str, Any], readable: bool) -> None:
    assert is_readable(response) is readable


def test_a_version_is_named_only_if_it_is_known() -> None:
    assert locate(URI, ObjectInfo("a", 1)) == {"Bucket": "box", "Key": "a"}
    assert locate(URI, ObjectInfo("a", 1, version="v"))["VersionId"] == "v"


class Heads:
    """Answers HEAD with a storage class."""

    def __init__(self, storage_class: str) -> None:
        self.storage_class = storage_class

    def call(self, operation: str, _: Cancel, **__: Any) -> dict[str, Any]:
        assert operation == "head_object"
        return {"StorageClass": self.storage_class}


def test_an_archived_object_is_skipped() -> None:
    def send(storage_class: str) -> Outcome:
        requests = cast("RequestSender", Heads(storage_class))
        return ReadableRequest().send(requests, URI, ObjectInfo("a", 7, "e"), Cancel())

    assert (send("STANDARD").status, send("STANDARD").size) == ("done", 7)
    assert send("GLACIER").status == "skipped"


class Answers:
    """Sends each request to a fixed answer by key."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.asked: list[str] = []

    def send_each(self, infos: Iterable[ObjectInfo], bucket: str, *_: object) -> Iterator[Outcome]:
        for info in infos:
            self.asked.append(info.key)
            error = AccessDenied("no", hint="ask") if info.key == self.refused else None
            status: Any = "failed" if error else "done" if info.size else "skipped"
            yield Outcome(S3Uri(bucket, info.key), status=status, error=error, info=info)


def test_only_archived_objects_are_asked_for() -> None:
    objects = [
        ObjectInfo("a", 1),
        ObjectInfo("b", 0, storage_class="GLACIER"),
        ObjectInfo("c", 1, storage_class="GLACIER"),
    ]
    storage = Answers()
    found = iterate_unreadable(objects, EMPTY_LIST, cast("Storage", storage), Cancel())
    assert [each.key for each in found] == ["b"]
    assert storage.asked == ["b", "c"]


def test_a_refused_request_is_an_error() -> None:
    objects = [ObjectInfo("b", 0, storage_class="GLACIER")]
    storage = cast("Storage", Answers("b"))
    with pytest.raises(AccessDenied):
        list(iterate_unreadable(objects, EMPTY_LIST, storage, Cancel()))
