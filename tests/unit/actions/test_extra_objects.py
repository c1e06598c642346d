"""Objects under a target that its source does not have: which they are, and their deletion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.extra_objects import SourceKeys, delete_extra_objects
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ManifestWriter, ObjectList
from rolerunner.selection.source_files import SourceFile
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.context import make_context

PLACE = S3Uri("box", "out/")


def file(relative: str, problem: StepError | None = None) -> SourceFile:
    return SourceFile(relative, f"/in/{relative}", problem=problem)


def has(keys: SourceKeys, relative: str) -> bool:
    return keys.has(f"out/{relative}", relative)


def test_keys_of_files_are_not_extra() -> None:
    keys = SourceKeys([file("a"), file("d/b")], PLACE)
    assert keys
    assert has(keys, "a")
    assert has(keys, "d/b")
    assert not has(keys, "b")
    assert not has(keys, "d")


def test_a_source_without_files_is_empty() -> None:
    keys = SourceKeys([], PLACE)
    assert not keys
    assert not has(keys, "a")


@pytest.mark.parametrize(
    ("unreadable", "relative", "found"),
    [("d", "d/x", True), ("d", "d/e/x", True), ("d", "dx", False), ("d/e", "d/x", False)],
)
def test_any_key_may_be_below_an_unreadable_folder(
    unreadable: str, relative: str, found: bool
) -> None:
    keys = SourceKeys([file(unreadable, AccessDenied("no"))], PLACE)
    assert has(keys, relative) is found


def test_any_key_may_be_in_an_unreadable_source() -> None:
    assert has(SourceKeys([file("", AccessDenied("no"))], PLACE), "x/y")


class FakeStorage:
    """Deletes objects, except those that are refused."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.deleted: list[str] = []

    def delete(self, infos: Iterable[ObjectInfo], bucket: str, _: Any) -> Iterator[Outcome]:
        for info in infos:
            error = AccessDenied(f"no {info.key}", hint="ask") if info.key in self.refused else None
            self.deleted += [] if error else [info.key]
            yield Outcome(S3Uri(bucket, info.key), status="deleted", error=error)


def delete(folder: Path, storage: Any, extra: list[str], stored: list[str]) -> int:
    with ManifestWriter(folder / "stored.jsonl") as manifest:
        for key in stored:
            manifest.add_object(ObjectInfo(key, 1))
    objects: ObjectList = manifest.objects(PLACE)
    infos = {key: ObjectInfo(key, 1) for key in extra}
    return delete_extra_objects(infos, objects, storage, make_context(folder))


def test_extra_objects_are_deleted_unless_they_were_stored_meanwhile(tmp_path: Path) -> None:
    storage = FakeStorage()
    assert delete(tmp_path, storage, ["out/a", "out/b", "out/c"], ["out/b", "out/x"]) == 2
    assert storage.deleted == ["out/a", "out/c"]
    assert delete(tmp_path, None, [], ["out/b"]) == 0


def test_objects_that_stay_are_an_error_after_the_others_are_gone(tmp_path: Path) -> None:
    storage = FakeStorage("out/a", "out/c")
    with pytest.raises(StepError) as caught:
        delete(tmp_path, storage, ["out/a", "out/b", "out/c"], [])
    assert str(caught.value) == "2 of 3 extra objects were not deleted: no out/a"
    assert (caught.value.type, caught.value.hint) == ("AccessDenied", "ask")
    assert storage.deleted == ["out/b"]
