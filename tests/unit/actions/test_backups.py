"""Backups of what a step overwrites or deletes: what is kept, and when nothing is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.backups import Backups
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, NotFound
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.actions.base import StepContext
    from rolerunner.storage.protocol import Storage

TARGET, BACKUP = S3Uri("target", "out/"), S3Uri("backups", "kept/")


class Bucket:
    """S3 that holds objects by URI; copies to ``refused`` places fail."""

    def __init__(self, objects: dict[S3Uri, ObjectInfo], refused: str = "") -> None:
        self.objects, self.refused = objects, refused
        self.deleted: list[tuple[str, str, bool]] = []

    def head_many(self, uris: Iterable[S3Uri], cancel: Any) -> Iterator[Outcome]:
        del cancel
        for uri in uris:
            info = self.objects.get(uri)
            error = None if info else NotFound("no such key")
            yield Outcome(uri, status="done" if info else "failed", error=error, info=info)

    def copy(self, items: Iterable[Copy], cancel: Any) -> Iterator[Outcome]:
        del cancel
        for item in items:
            if self.refused and item.target.key.endswith(self.refused):
                yield Outcome(item.target, status="failed", error=AccessDenied("no"))
            else:
                assert item.info is not None
                self.objects[item.target] = item.info
                yield Outcome(item.target, source=item.source)

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Any, *, unchanged: bool
    ) -> Iterator[Outcome]:
        del cancel
        for info in items:
            self.deleted.append((info.key, info.etag, unchanged))
            yield Outcome(S3Uri(bucket, info.key))


class Context:
    cancel = Cancel()
    open_cluster = None


def open_backups(bucket: Bucket, place: S3Uri = BACKUP) -> Backups:
    return Backups(place, TARGET, cast("Storage", bucket), cast("StepContext", Context()))


def info(key: str, etag: str) -> ObjectInfo:
    return ObjectInfo(key, 1, etag)


def copy(name: str) -> Copy:
    return Copy(S3Uri("source", name), TARGET.join(name), info(name, "new"))


def test_writes_carry_the_state_that_was_kept() -> None:
    bucket = Bucket({TARGET.join("a"): info("out/a", "old")}, refused="c")
    bucket.objects[TARGET.join("c")] = info("out/c", "old")
    sent: list[Any] = []

    def run(items: Iterable[Any]) -> Iterator[Outcome]:
        sent.extend(items)
        return iter([])

    list(open_backups(bucket).transfer([copy("a"), copy("b"), copy("c")], run))
    conditions = [each.options for each in sent if isinstance(each, Copy)]
    assert conditions == [{"IfMatch": '"old"'}, {"IfNoneMatch": "*"}]
    assert sent[2].uri == TARGET.join("c")
    assert sent[2].error.message.startswith("s3://target/out/c is left as it is")
    assert BACKUP.join("a") in bucket.objects


def test_deletions_are_of_what_was_kept() -> None:
    bucket = Bucket({}, refused="b")
    objects = [info("out/a", "one"), info("out/b", "two")]
    outcomes = list(open_backups(bucket).delete(objects, "target", lambda each: each.key))
    assert bucket.deleted == [("out/a", "one", True)]
    assert sorted(outcome.status for outcome in outcomes) == ["done", "failed"]


@pytest.mark.parametrize("name", ["target", "target-s3alias"])
def test_object_is_not_its_own_backup_under_any_name_of_its_bucket(name: str) -> None:
    kept = ObjectInfo("out/a", 1, "one", "2026-01-31T00:00:00Z")
    bucket = Bucket({S3Uri(name, "out/a"): kept})
    backups = open_backups(bucket, S3Uri(name, "out/"))
    [outcome] = backups.delete([kept], "target", lambda _: "a")
    assert outcome.error is not None
    assert "that is the object itself" in outcome.error.message
    assert bucket.deleted == []


def test_a_suffix_is_added_to_each_name() -> None:
    backups = replace(open_backups(Bucket({})), suffix=".old")
    assert backups.place_of("d/a.csv") == backups.place.join("d/a.csv.old")
