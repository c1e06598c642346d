"""Sources of a move are deleted only after their copies are proved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.moves import delete_copied_sources
from rolerunner.errors import AccessDenied, NotFound
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.context import make_context


class FakeTarget:
    """The copies as S3 reports them."""

    def __init__(self, infos: dict[str, ObjectInfo | None]) -> None:
        self.infos = infos
        self.batches: list[int] = []

    def head_many(self, uris: list[S3Uri], _: object) -> Iterator[Outcome]:
        self.batches.append(len(uris))
        for uri in uris:
            info = self.infos.get(uri.key, ObjectInfo(uri.key, 3, "copy"))
            error = NotFound("gone", hint="look") if info is None else None
            yield Outcome(uri, info=info, error=error)


class FakeSource:
    """Deletes sources, and remembers how."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.deleted: list[ObjectInfo] = []

    def delete(
        self, infos: Iterable[ObjectInfo], bucket: str, _: object, *, unchanged: bool
    ) -> Iterator[Outcome]:
        assert (bucket, unchanged) == ("", True)
        for info in infos:
            refused = info.key in self.refused
            self.deleted += [] if refused else [info]
            yield Outcome(
                S3Uri(info.bucket, info.key),
                version=info.version,
                error=AccessDenied("no", hint="ask") if refused else None,
            )


def copied(key: str, **more: Any) -> Outcome:
    values: dict[str, Any] = {
        "source": S3Uri("from", f"in/{key}"),
        "source_info": ObjectInfo(f"in/{key}", 3, "source", version="v1"),
        "etag": "copy",
        **more,
    }
    return Outcome(S3Uri("to", key), 3, **values)


def move(
    folder: Path, outcomes: list[Outcome], source: Any, target: Any, *, by_version: bool = False
) -> list[Outcome]:
    return list(
        delete_copied_sources(
            iter(outcomes), source, target, make_context(folder), by_version=by_version
        )
    )


@pytest.mark.parametrize(("by_version", "version"), [(False, ""), (True, "v1")])
def test_a_proved_copy_loses_its_source(tmp_path: Path, by_version: bool, version: str) -> None:
    source, outcome = FakeSource(), copied("a")
    assert move(tmp_path, [outcome], source, FakeTarget({}), by_version=by_version) == [outcome]
    assert source.deleted == [ObjectInfo("in/a", 3, "source", version=version, bucket="from")]


def test_without_the_sources_etag_the_deletion_has_none(tmp_path: Path) -> None:
    source = FakeSource()
    move(tmp_path, [copied("a", source_info=None)], source, FakeTarget({}))
    assert [info.etag for info in source.deleted] == [""]


@pytest.mark.parametrize(
    "info",
    [ObjectInfo("a", 2, "copy"), ObjectInfo("a", 3, "another")],
    ids=["size", "etag"],
)
def test_another_object_at_the_target_keeps_the_source(tmp_path: Path, info: ObjectInfo) -> None:
    source = FakeSource()
    (ended,) = move(tmp_path, [copied("a")], source, FakeTarget({"a": info}))
    assert source.deleted == []
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.type == "IntegrityFailed"
    assert ended.error.message == "s3://to/a: is not the copy that was made, so the source is kept"


def test_a_copy_without_an_etag_is_proved_by_its_size(tmp_path: Path) -> None:
    source = FakeSource()
    move(tmp_path, [copied("a", etag="")], source, FakeTarget({"a": ObjectInfo("a", 3, "x")}))
    assert len(source.deleted) == 1


def test_a_copy_that_cannot_be_looked_up_keeps_the_source(tmp_path: Path) -> None:
    source = FakeSource()
    (ended,) = move(tmp_path, [copied("a")], source, FakeTarget({"a": None}))
    assert source.deleted == []
    assert ended.error is not None
    assert (ended.error.type, ended.error.hint) == ("NotFound", "look")
    assert ended.error.message == (
        "copied, but the copy cannot be verified, so the source is kept: gone"
    )


def test_failed_objects_and_objects_without_a_source_pass(tmp_path: Path) -> None:
    outcomes = [copied("a", status="failed", error=AccessDenied("no")), Outcome(S3Uri("to", "b"))]
    source, target = FakeSource(), FakeTarget({})
    assert move(tmp_path, outcomes, source, target) == outcomes
    assert source.deleted == []


def test_a_source_that_stays_fails_its_object(tmp_path: Path) -> None:
    first, second = copied("a"), copied("b", status="skipped")
    ended = move(tmp_path, [first, second], FakeSource("in/a"), FakeTarget({}))
    assert ended[1] == second
    assert ended[0].status == "failed"
    assert ended[0].error is not None
    assert str(ended[0].error) == "copied to s3://to/a, but the source could not be deleted: no"
    assert (ended[0].error.type, ended[0].error.hint) == ("AccessDenied", "ask")


def test_copies_are_looked_up_a_thousand_at_a_time(tmp_path: Path) -> None:
    target = FakeTarget({})
    assert len(move(tmp_path, [copied(str(n)) for n in range(1001)], FakeSource(), target)) == 1001
    assert target.batches == [1000, 1]
