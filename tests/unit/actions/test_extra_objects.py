"""Objects under a target that its source does not have: which they are, and their deletion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.actions.extra_objects import SourceKeys, delete_extra_objects, find_extra_objects
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import ManifestWriter, ObjectList
from rolerunner.selection.source_files import SourceFile
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.context import make_context

PLACE = S3Uri("box", "out/")


def file(relative: str, problem: StepError | None = None) -> SourceFile:
    return SourceFile(relative, f"/in/{relative}", problem=problem)


def keys_of(*files: SourceFile) -> SourceKeys:
    keys = SourceKeys()
    for each in files:
        keys.add_file(each, f"out/{each.relative}")
    return keys


def has(keys: SourceKeys, relative: str) -> bool:
    return keys.has(f"out/{relative}", relative)


def test_keys_of_files_are_not_extra() -> None:
    keys = keys_of(file("a"), file("d/b"))
    assert keys
    assert has(keys, "a")
    assert has(keys, "d/b")
    assert not has(keys, "b")
    assert not has(keys, "d")


def test_a_source_without_files_is_empty() -> None:
    keys = keys_of()
    assert not keys
    assert not has(keys, "a")


@pytest.mark.parametrize(
    ("unreadable", "relative", "found"),
    [("d", "d/x", True), ("d", "d/e/x", True), ("d", "dx", False), ("d/e", "d/x", False)],
)
def test_any_key_may_be_below_an_unreadable_folder(
    unreadable: str, relative: str, found: bool
) -> None:
    keys = keys_of(file(unreadable, AccessDenied("no")))
    assert has(keys, relative) is found


def test_any_key_may_be_in_an_unreadable_source() -> None:
    assert has(keys_of(file("", AccessDenied("no"))), "x/y")


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


def write_list(path: Path, keys: list[str]) -> ObjectList:
    with ManifestWriter(path) as manifest:
        for key in keys:
            manifest.add_object(ObjectInfo(key, 1))
    return manifest.objects(PLACE)


def delete(folder: Path, storage: Any, extra: list[str], stored: list[str]) -> int:
    return delete_extra_objects(
        write_list(folder / "extra.jsonl", extra),
        storage,
        make_context(folder),
        write_list(folder / "stored.jsonl", stored),
    )


class Listing:
    """Lists keys of the target."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def list(self, prefix: S3Uri, *, cancel: Any) -> Iterator[ObjectInfo]:
        del cancel
        return (ObjectInfo(key, 1) for key in self.keys if key.startswith(prefix.key))


def find(
    folder: Path, *globs: str, most: int = 5, size: int = 5, place: S3Uri = PLACE
) -> list[str]:
    listing: Any = Listing("out/", "out/a", "out/b.csv", "out/d/", "out/d/c.csv", "outside")
    found = find_extra_objects(
        place,
        lambda key, relative: key == "out/a" and relative == "a",
        Selection.of(globs, ()),
        DeletionLimits(most, size),
        listing,
        make_context(folder),
    )
    assert found.prefix == place
    return [info.key for info in found]


def test_what_the_source_does_not_have_is_extra_unless_globs_leave_it_out(tmp_path: Path) -> None:
    assert find(tmp_path) == ["out/b.csv", "out/d/", "out/d/c.csv"]
    assert find(tmp_path, "*.csv") == ["out/b.csv"]
    assert find(tmp_path, place=S3Uri("box", "out")) == []


def test_too_many_extra_objects_are_an_error(tmp_path: Path) -> None:
    assert len(find(tmp_path, most=3)) == 3
    with pytest.raises(StepError, match="3 objects or more under s3://box/out/ would be") as caught:
        find(tmp_path, most=2)
    assert caught.value.type == "MaxDelete"
    with pytest.raises(StepError, match="3 objects of 3 bytes or more under s3://box/out/ would"):
        find(tmp_path, size=2)


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
