"""The files that a step left, as a resumed run compares them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.base import InputPath, MirroredFolder
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.run.state import leftovers
from rolerunner.run.state.leftovers import find_change, write_left

if TYPE_CHECKING:
    from pathlib import Path


class Bench:
    """A list of what was left, and the folder that it is about."""

    def __init__(self, folder: Path) -> None:
        self.list = folder / "work" / "lists" / "left.jsonl"
        self.folder = folder / "data"
        self.folder.mkdir()

    def file(self, name: str, text: str = "x") -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    def write(self, *paths: Any) -> int:
        return write_left(paths, self.list, Cancel())

    @property
    def change(self) -> str:
        return find_change(self.list, Cancel())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_changed_where_nothing_was_touched(bench: Bench) -> None:
    one, two = bench.file("one"), bench.file("sub/two")
    mirror = MirroredFolder(str(bench.folder))
    assert bench.write(one, str(bench.folder / "sub"), mirror, InputPath(two)) == 5
    assert bench.change == ""


@pytest.mark.parametrize("what", ["size", "time", "gone", "folder"])
def test_a_file_that_changed_is_named(what: str, bench: Bench) -> None:
    path = bench.file("one")
    bench.write(bench.file("zero"), path)
    if what == "size":
        bench.file("one", "xx")
    elif what == "time":
        os.utime(path, (1, 1))
    else:
        os.unlink(path)
        if what == "folder":
            os.mkdir(path)
    assert bench.change == (f"{path} is gone" if what == "gone" else f"{path} changed")


def test_a_file_below_a_folder_counts_too(bench: Bench) -> None:
    inner = bench.file("sub/inner")
    bench.write(str(bench.folder / "sub"))
    bench.file("sub/new")
    assert bench.change == "", "a file that was added is no change of what was left"
    bench.file("sub/inner", "changed")
    assert bench.change == f"{inner} changed"


def test_a_folder_that_is_gone_is_named(bench: Bench) -> None:
    (bench.folder / "empty").mkdir()
    bench.write(str(bench.folder / "empty"))
    (bench.folder / "empty").rmdir()
    assert bench.change == f"{bench.folder / 'empty'} is gone"


def test_a_file_added_to_a_mirror_is_a_change(bench: Bench) -> None:
    bench.file("one")
    bench.write(MirroredFolder(str(bench.folder)))
    os.unlink(bench.folder / "one")
    assert bench.change == ""
    bench.file("two")
    assert bench.change == ""
    bench.file("three")
    assert bench.change == f"there are more files below {bench.folder} than it left"


def test_a_mirror_that_is_gone_has_no_files(bench: Bench) -> None:
    assert bench.write(MirroredFolder(str(bench.folder / "none"))) == 1
    assert bench.change == ""
    (bench.folder / "none").mkdir()
    assert bench.change == "", "an empty folder has no more files"


def test_an_input_must_only_exist(bench: Bench) -> None:
    path = bench.file("one")
    bench.write(InputPath(path))
    bench.file("one", "changed")
    assert bench.change == ""
    os.unlink(path)
    assert bench.change == f"{path} is gone"


def test_a_path_that_was_gone_already_stays_gone(bench: Bench) -> None:
    path = str(bench.folder / "none")
    bench.write(path)
    assert bench.change == f"{path} is gone"
    bench.file("none")
    assert bench.change == f"{path} is gone"


@pytest.mark.parametrize(("most", "lines"), [(2, 3), (1, 1)])
def test_a_large_folder_must_only_exist(
    most: int, lines: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leftovers.MOST_BELOW == 100_000
    monkeypatch.setattr(leftovers, "MOST_BELOW", most)
    bench.file("sub/one")
    bench.file("sub/two")
    assert bench.write(str(bench.folder / "sub")) == lines


@pytest.mark.parametrize("where", ["here", "above"])
def test_a_folder_that_others_work_in_must_only_exist(
    where: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.file("sub/one")
    inside = bench.folder / "sub"
    monkeypatch.chdir(inside)
    assert bench.write(str(inside if where == "here" else bench.folder)) == 1
    monkeypatch.chdir(bench.folder)
    assert bench.write(str(inside)) == 2


@pytest.mark.parametrize("line", ["broken", "[]", "1", "{}"])
def test_a_list_that_cannot_be_read_is_told(line: str, bench: Bench) -> None:
    bench.write(bench.file("one"))
    bench.list.write_text(f"{bench.list.read_text()}{line}\n")
    assert bench.change == "the list of what it left cannot be read"


def test_a_stopped_run_stops_comparing(bench: Bench) -> None:
    stopped = Cancel()
    stopped.set()
    path = bench.file("one")
    bench.write(path)
    with pytest.raises(StepError, match="stopped before it was done"):
        find_change(bench.list, stopped)
    assert write_left([path] * 999, bench.list, stopped) == 999
    with pytest.raises(StepError, match="stopped before it was done"):
        write_left([path] * 1000, bench.list, stopped)


def test_paths_are_kept_whole_and_in_ascii(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.file("ä")
    monkeypatch.chdir(bench.folder)
    bench.write("ä", InputPath("ä"))
    lines = bench.list.read_text(encoding="ascii").splitlines()
    assert {json.loads(line)["path"] for line in lines} == {str(bench.folder / "ä")}
    monkeypatch.chdir("/")
    assert bench.change == ""
