"""The list of a step's objects: prefixes, single objects, lists of URIs, filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.errors import NotFound
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.context import make_context

ALL = Selection()
INFOS = [
    ObjectInfo("in/a.csv", 3, "e1"),
    ObjectInfo("in/b.txt", 5, "e2"),
    ObjectInfo("in/d/c.csv", 7, "e3"),
]


class FakeStorage:
    """Lists all objects, and looks up those that exist in the bucket ``box``."""

    def __init__(self) -> None:
        self.listed: list[tuple[S3Uri, bool]] = []

    def list(self, uri: S3Uri, *, versions: bool, cancel: object) -> Iterator[ObjectInfo]:
        self.listed.append((uri, versions))
        yield from (info for info in INFOS if info.key.startswith(uri.key))

    def head_many(self, uris: Sequence[S3Uri], cancel: object) -> Iterator[Outcome]:
        there = {info.key: info for info in INFOS}
        for uri in reversed(uris):
            info = there.get(uri.key)
            if info is None:
                yield Outcome(uri, status="failed", error=NotFound(f"no {uri}"))
            else:
                yield Outcome(uri, info.size, info=info)


def collect(folder: Path, source: Any, objects: Any = None, **more: Any) -> SourceObjects:
    storage: Any = more.pop("storage", FakeStorage())
    chosen = more.pop("chosen", ALL)
    return collect_source(source, objects, chosen, storage, make_context(folder), **more)


@pytest.mark.parametrize(
    ("source", "objects"), [(None, None), (S3Uri("box", "a"), [S3Uri("box", "a")])]
)
def test_exactly_one_source_is_given(source: Any, objects: Any) -> None:
    with pytest.raises(ValueError, match=r"^'s3\.copy' takes either 'source' or 'objects'$"):
        check_one_source(source, objects, "s3.copy")


def test_one_source_is_enough() -> None:
    check_one_source(S3Uri("box", "a"), None, "s3.copy")
    check_one_source(None, [], "s3.copy")


def test_a_prefix_is_listed(tmp_path: Path) -> None:
    found = collect(tmp_path, S3Uri("box", "in/"))
    assert list(found.objects) == INFOS
    assert (found.total, found.objects.bytes, found.refused) == (3, 15, ())
    assert found.objects.prefix == S3Uri("box", "in/")
    assert found.summary() == {"count": 3, "bytes": 15}


def test_filters_see_relative_keys_and_tell_what_they_leave_out(tmp_path: Path) -> None:
    left: list[str] = []
    chosen = Selection(("**/*.csv",), (), 4)

    def add_left_out(info: ObjectInfo, relative: str) -> None:
        del info
        left.append(relative)

    found = collect(tmp_path, S3Uri("box", "in/"), chosen=chosen, on_left_out=add_left_out)
    assert [info.key for info in found.objects] == ["in/d/c.csv"]
    assert left == ["a.csv", "b.txt"]


def test_an_object_is_looked_up_and_its_folder_is_the_prefix(tmp_path: Path) -> None:
    storage = FakeStorage()
    found = collect(tmp_path, S3Uri("box", "in/a.csv"), storage=storage)
    assert list(found.objects) == INFOS[:1]
    assert found.objects.prefix == S3Uri("box", "in/a.csv")
    assert storage.listed == []


def test_versions_of_an_object_are_listed_without_longer_keys(tmp_path: Path) -> None:
    storage = FakeStorage()
    found = collect(tmp_path, S3Uri("box", "in/a"), versions=True, storage=storage)
    assert storage.listed == [(S3Uri("box", "in/a"), True)]
    assert list(found.objects) == []


def test_named_objects_keep_their_order_once_each(tmp_path: Path) -> None:
    uris = [S3Uri("box", "in/d/c.csv"), S3Uri("other", "in/a.csv"), S3Uri("box", "in/d/c.csv")]
    found = collect(tmp_path, None, uris)
    assert [(info.key, info.bucket) for info in found.objects] == [
        ("in/d/c.csv", ""),
        ("in/a.csv", "other"),
    ]
    assert found.objects.flat
    assert found.objects.prefix == S3Uri("box")


def test_a_single_named_object_has_its_folder(tmp_path: Path) -> None:
    assert collect(tmp_path, None, [S3Uri("box", "in/a.csv")]).objects.prefix == S3Uri("box", "in/")
    assert collect(tmp_path, None, [S3Uri("box", "a")]).objects.prefix == S3Uri("box")
    none = collect(tmp_path, None, [])
    assert (none.total, list(none.objects)) == (0, [])


def test_objects_that_cannot_be_looked_up_are_counted_and_named(tmp_path: Path) -> None:
    uris = [S3Uri("box", "in/a.csv"), S3Uri("box", "x"), S3Uri("box", "y")]
    found = collect(tmp_path, None, uris)
    assert found.total == 3
    assert [outcome.uri.key for outcome in found.refused] == ["x", "y"]
    assert found.summary() == {
        "count": 3,
        "bytes": 3,
        "refused": "2 objects, the first since no s3://box/x",
    }


def test_a_list_is_taken_as_it_is_or_filtered(tmp_path: Path) -> None:
    with ManifestWriter(tmp_path / "list.jsonl") as manifest:
        for info in INFOS:
            manifest.add_object(info)
    objects = manifest.objects(S3Uri("box", "in/"))
    assert collect(tmp_path, None, objects).objects is objects
    found = collect(tmp_path, None, objects, chosen=Selection(("*.txt",)))
    assert list(found.objects) == INFOS[1:2]
    assert found.objects.path == tmp_path / "work.source.jsonl"
