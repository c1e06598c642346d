"""Lists of objects in the outputs of a step, kept beside the document."""

from __future__ import annotations

import hashlib
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.model import S3Uri
from rolerunner.run.state.lists import (
    ListDamaged,
    ListWriter,
    NotStorable,
    fetch_list,
    restore_lists,
)
from rolerunner.run.state.stores import FolderStore
from rolerunner.selection.manifest import ObjectList, placeholder_list

if TYPE_CHECKING:
    from pathlib import Path

LINE = '{"key": "in/a", "size": 7, "etag": "e", "modified": "2026-01-01T00:00:00Z"}\n'


class Bench:
    """A store in a folder, and lists in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FolderStore(folder / "state")

    @property
    def writer(self) -> ListWriter:
        return ListWriter(self.store, "j/k/a")

    def objects(self, name: str = "objects", lines: int = 2, *, flat: bool = False) -> ObjectList:
        path = self.folder / name
        path.write_text(LINE * lines)
        return ObjectList(path, S3Uri("b", "in/"), lines, 7 * lines, flat)

    def restore(self, value: Any) -> Any:
        return restore_lists(value, self.store, self.folder / "work")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("flat", [True, False])
def test_a_list_is_restored_on_another_machine(flat: bool, bench: Bench) -> None:
    objects = bench.objects(flat=flat)
    stored = bench.writer.store_lists(objects)
    back = bench.restore(stored)
    assert (back.prefix, back.count, back.bytes, back.flat) == (S3Uri("b", "in/"), 2, 14, flat)
    assert back.path.read_text() == objects.path.read_text()
    assert back.path.parent == bench.folder / "work" / "state"


def test_lists_within_lists_are_restored(bench: Bench) -> None:
    outputs = [bench.objects("one", 1), [1, (bench.objects("two", 2),)]]
    stored = bench.writer.store_lists(outputs)
    names = [stored[0]["$objects"]["name"], stored[1][1][0]["$objects"]["name"]]
    assert [name.split("-")[1] for name in names] == ["1", "2"]
    first, (plain, (second,)) = bench.restore(stored)
    assert (first.count, plain, second.count) == (1, 1, 2)


def test_other_values_are_stored_as_they_are(bench: Bench) -> None:
    for value in (1, "x", None, [1, {"a": 2}], {"$objects": 1, "more": 2}):
        assert bench.writer.store_lists(value) == value
        assert bench.restore(value) == value


@pytest.mark.parametrize("value", [object(), [object()], {"$objects": 1}, {"a": float("inf")}])
def test_a_value_that_the_document_cannot_hold_is_refused(value: Any, bench: Bench) -> None:
    with pytest.raises(NotStorable, match="its outputs are not JSON"):
        bench.writer.store_lists(value)


def test_each_write_has_a_name_of_its_own(bench: Bench) -> None:
    names = {bench.writer.store_lists(bench.objects())["$objects"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"j/k/a-1-[0-9a-f]{8}\.jsonl", name) for name in names)


def test_a_placeholder_is_stored_as_an_empty_list(bench: Bench) -> None:
    back = bench.restore(bench.writer.store_lists(placeholder_list(S3Uri("b", "in/"))))
    assert (back.count, back.bytes, list(back)) == (0, 0, [])


def test_a_list_that_is_gone_or_changed_is_damaged(bench: Bench) -> None:
    kept = bench.writer.store_lists(bench.objects())["$objects"]
    stored = bench.folder / "state" / kept["name"]
    content = stored.read_text()
    stored.write_text(content.replace("in/a", "in/b"))
    with pytest.raises(ListDamaged, match=f"{kept['name']} in the state is not the one") as changed:
        fetch_list(kept, bench.store, bench.folder)
    stored.unlink()
    with pytest.raises(ListDamaged, match=f"{kept['name']} is not in the state any more") as gone:
        fetch_list(kept, bench.store, bench.folder)
    assert {changed.value.type, gone.value.type} == {"StateDamaged"}


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [(LINE * 2, True), (LINE, False), (LINE.replace("7", "8") * 2, False), ("broken\n", False)],
)
def test_a_list_of_an_earlier_release_is_counted(
    content: str, is_whole: bool, bench: Bench
) -> None:
    kept = bench.writer.store_lists(bench.objects())["$objects"]
    del kept["sha256"]
    (bench.folder / "state" / kept["name"]).write_text(content)
    if is_whole:
        assert fetch_list(kept, bench.store, bench.folder).read_text() == content
    else:
        with pytest.raises(ListDamaged):
            fetch_list(kept, bench.store, bench.folder)


def test_lists_of_files_that_are_left_become_one(bench: Bench) -> None:
    paths = [bench.folder / name for name in ("one.jsonl", "two.jsonl")]
    for number, path in enumerate(paths, 1):
        path.write_text("x\n" * number)
    assert bench.writer.store_left([]) is None
    one, both = bench.writer.store_left(paths[1:]), bench.writer.store_left(paths)
    assert one is not None
    assert both is not None
    assert (one["count"], one["bytes"], one["host"]) == (2, 4, socket.gethostname())
    assert (both["count"], both["bytes"]) == (3, 6)
    assert both["sha256"] == hashlib.sha256(b"x\n" * 3).hexdigest()
    assert both["name"].startswith("j/k/a-left-")
    assert fetch_list(both, bench.store, bench.folder).read_text() == "x\n" * 3
