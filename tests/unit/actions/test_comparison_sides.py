"""The sides of a comparison: names, their order, and entries that are none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import pytest

from rolerunner.actions.comparison_sides import (
    Side,
    leave_out,
    list_checksum_file,
    list_folder,
    list_objects,
    list_prefix,
)
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.builtin.fake import FakeStorage
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.storage.protocol import Storage

PREFIX = S3Uri("box", "in/")


class Listed(FakeStorage):
    """Lists as an engine does, with a Cancel, and answers HEAD."""

    def head(self, uri: S3Uri) -> ObjectInfo:
        return ObjectInfo(uri.key, len(self.bodies[uri.key]))


def as_storage(bodies: dict[str, bytes]) -> Storage:
    return cast("Storage", Listed(bodies))


def names(side: Side) -> list[str]:
    return [name for name, _ in side.entries()]


def test_the_objects_under_a_prefix_or_one_object() -> None:
    storage = as_storage({"in/a": b"1", "in/b/c": b"2", "out": b"3"})
    assert names(list_prefix(storage, PREFIX, Cancel())) == ["a", "b/c"]
    ((name, info),) = list_prefix(storage, S3Uri("box", "out"), Cancel()).entries()
    assert (name, info.key, info.size) == ("", "out", 1)


def test_an_object_of_another_bucket_is_found_there() -> None:
    side = Side(lambda: iter(()), as_storage({}), PREFIX)
    assert side.locate(ObjectInfo("in/a", 1)).uri == S3Uri("box", "in/a")
    assert side.locate(ObjectInfo("in/a", 1, bucket="other")).uri == S3Uri("other", "in/a")


def test_a_list_is_sorted_by_relative_names(tmp_path: Path) -> None:
    with make_context(tmp_path).manifest() as manifest:
        for key in ("in/b", "in/a"):
            manifest.add_object(ObjectInfo(key, 1))
    listed = list_objects(as_storage({}), manifest.objects(PREFIX))
    assert names(listed) == ["a", "b"]


def test_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("12")
    (tmp_path / "a").write_text("1")
    found = dict(list_folder(tmp_path, "follow").entries())
    assert [(name, file.size) for name, file in found.items()] == [("a", 1), ("b/c", 2)]
    assert found["a"].modified.endswith("Z")


def test_a_file_without_a_name_in_unicode_is_an_error(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_text("1")
    with pytest.raises(StepError, match="is not UTF-8") as caught:
        names(list_folder(tmp_path, "follow"))
    assert (caught.value.type, caught.value.hint) == ("UnsafeKey", "rename or remove the file")


def test_a_list_of_checksums_is_sorted_and_has_each_name_once(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_text(f"{'b' * 64}  b\n{'a' * 64}  a\n")
    entries = dict(list_checksum_file(path).entries())
    assert list(entries) == ["a", "b"]
    assert entries["a"].checksum == f"SHA256:{'a' * 64}"
    path.write_text(f"{'b' * 64}  a\n{'a' * 64}  b\n{'c' * 64}  a\n")
    with pytest.raises(StepError, match="'a' is in the lines 1 and 3"):
        names(list_checksum_file(path))


def test_markers_of_folders_and_one_object_are_left_out() -> None:
    bodies = {"in/": b"", "in/b/": b"", "in/c/": b"x", "in/sums": b"1", "in/x": b"1"}
    side = list_prefix(as_storage(bodies), PREFIX, Cancel())
    kept = names(leave_out(side, S3Uri("box", "in/sums")))
    assert kept == ["c/", "x"]
    assert "sums" in names(leave_out(side, None))
