"""``s3.restore``: its request for each object, permissions, and what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_restore import RestoreRequest, S3Restore
from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.builtin.fake import FakeStorage, make_step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.storage.protocol import RequestSender

URI = S3Uri("box", "in/a")


class Restores:
    """Takes RestoreObject, or says that one is under way."""

    def __init__(self, *, under_way: bool = False) -> None:
        self.under_way = under_way
        self.sent: list[dict[str, Any]] = []

    def call_unless(self, _: object, operation: str, __: Cancel, **sent: Any) -> Any:
        assert operation == "restore_object"
        self.sent.append(sent)
        return None if self.under_way else {}


def send(requests: Restores, storage_class: str, **more: Any) -> Outcome:
    info = ObjectInfo("in/a", 7, "e", storage_class=storage_class, **more)
    sender = cast("RequestSender", requests)
    return RestoreRequest("Bulk", 3).send(sender, URI, info, Cancel())


def test_an_archived_object_is_asked_for() -> None:
    requests = Restores()
    assert send(requests, "GLACIER", version="v").status == "done"
    assert requests.sent == [
        {
            "Bucket": "box",
            "Key": "in/a",
            "VersionId": "v",
            "RestoreRequest": {"Days": 3, "GlacierJobParameters": {"Tier": "Bulk"}},
        }
    ]


def test_a_tiered_object_is_restored_for_good() -> None:
    requests = Restores()
    send(requests, "INTELLIGENT_TIERING")
    assert requests.sent[0]["RestoreRequest"] == {"GlacierJobParameters": {"Tier": "Bulk"}}


@pytest.mark.parametrize(
    ("storage_class", "under_way", "sent"), [("STANDARD", False, 0), ("GLACIER", True, 1)]
)
def test_an_object_that_needs_no_restore_is_skipped(
    storage_class: str, under_way: bool, sent: int
) -> None:
    requests = Restores(under_way=under_way)
    outcome = send(requests, storage_class)
    assert (outcome.status, outcome.size, len(requests.sent)) == ("skipped", 7, sent)


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({"source": "s3://box/in/"}, ["s3:ListBucket", "s3:RestoreObject"]),
        (
            {"source": "s3://box/in/", "wait": True},
            ["s3:ListBucket", "s3:RestoreObject", "s3:GetObject"],
        ),
        ({"source": "s3://box/a"}, ["s3:ListBucket", "s3:RestoreObject", "s3:GetObject"]),
        ({"objects": ["s3://box/a"]}, ["s3:RestoreObject", "s3:GetObject"]),
    ],
)
def test_objects_by_name_are_looked_at(fields: dict[str, Any], actions: list[str]) -> None:
    needed = S3Restore.model_validate(fields).permissions()["role"]
    assert list(dict.fromkeys(each.action for each in needed)) == actions


@pytest.mark.parametrize("fields", [{"days": 0}, {"tier": "Fast"}, {"source": None}])
def test_mistakes(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        S3Restore.model_validate({"source": "s3://box/in/", **fields})


class Archive(FakeStorage):
    """Objects whose storage class is their name."""

    def list(self, uri: S3Uri, **more: Any) -> Iterator[ObjectInfo]:
        for info in super().list(uri, **more):
            yield ObjectInfo(info.key, info.size, storage_class=info.key.rpartition("/")[2])


def test_a_preview_counts_what_may_be_archived(tmp_path: Path) -> None:
    storage = Archive({"in/DEEP_ARCHIVE": b"123", "in/GLACIER": b"1", "in/STANDARD": b"12"})
    action = S3Restore.model_validate({"source": "s3://box/in/"})
    found = action.survey(make_step(tmp_path, storage))
    assert (found["count"], found["archived"], found["archived_bytes"]) == (3, 2, 4)
