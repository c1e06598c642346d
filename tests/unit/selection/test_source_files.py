"""A glob as ``source`` matches what ``include`` matches below its first wildcard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rolerunner.common import external_sort
from rolerunner.errors import LocalFileFailed
from rolerunner.selection.filters import Selection
from rolerunner.selection.source_files import SkippedFiles, find_source_files, walk_folder

FILES = [
    "a.csv",
    ".hidden.csv",
    "b.txt",
    "[x].csv",
    "{y}.csv",
    "d/a.csv",
    "d/.h/a.csv",
    "d/e/f/a.csv",
    ".git/a.csv",
    "e1/b.csv",
    "e2/b.csv",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "top"


@pytest.mark.parametrize(
    "pattern",
    [
        "*", "*.csv", "**", "**/*.csv", "d/**", "d/*", "*/a.csv", "*/*/*.csv", ".*", ".*/*",
        "?.csv", "e[12]/b.csv", "e{1..2}/b.csv",
        "{d/e/f,e1}/*.csv", "{d,e1}/**/*.csv", "**/.h/*", "**/f/**", "d/**/f/*", "[!a]*",
        "\\[x\\].csv", "{y}.c*", "{*.csv,*.txt}", "none/*",
    ],
)  # fmt: skip
def test_a_glob_means_what_include_means(pattern: str, folder: Path) -> None:
    chosen = Selection.of([pattern], [])
    meant = sorted(
        file.path for file in walk_folder(str(folder)) if chosen.matches_name(file.relative)
    )
    found = list(find_source_files([f"{folder}/{pattern}"]))
    assert sorted(file.path for file in found) == meant
    assert all(file.relative == Path(file.path).name for file in found)


def test_folders_that_cannot_hold_a_match_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        scanned.append(os.path.relpath(path, folder))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [file.relative for file in find_source_files([f"{folder}/*.csv"])] == [
        ".hidden.csv",
        "[x].csv",
        "a.csv",
        "{y}.csv",
    ]
    assert scanned == ["."]
    scanned.clear()
    assert [
        file.relative
        for file in find_source_files([f"{folder}/d/**/f/*.csv", f"{folder}/e?/b.csv"])
    ] == ["a.csv", "b.csv", "b.csv"]
    assert not {".git", "e1"} & set(scanned[:5])
    assert ".git" not in scanned


def test_links_count_where_the_glob_leads(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "a.csv")
    (folder / "other").symlink_to(folder / "d")
    (folder / "loop").symlink_to(folder)
    left_out = SkippedFiles()
    found = [
        file.path
        for file in find_source_files([f"{folder}/*.csv"], links="skip", left_out=left_out)
    ]
    assert (len(found), left_out.count, "link.csv" in str(left_out)) == (4, 1, True)
    with pytest.raises(LocalFileFailed, match="is a link"):
        list(find_source_files([f"{folder}/*.csv"], links="error"))
    assert len(list(find_source_files([f"{folder}/*.txt"], links="error"))) == 1, (
        "links that the glob does not match do not count"
    )
    problems = [
        file for file in find_source_files([f"{folder}/**/a.csv"]) if file.problem is not None
    ]
    assert [file.path for file in problems] == [f"{folder}/loop"]


def test_folders_that_match_are_left_out_and_counted(folder: Path) -> None:
    left_out = SkippedFiles()
    assert [file.relative for file in find_source_files([f"{folder}/e*"], left_out=left_out)] == []
    assert (left_out.count, "folders" in str(left_out)) == (2, True)


def test_a_glob_of_too_many_patterns_and_a_file_with_a_name_like_a_glob(folder: Path) -> None:
    with pytest.raises(LocalFileFailed, match="more than"):
        list(find_source_files([f"{folder}/" + "{1..9}" * 8]))
    assert [
        file.relative for file in find_source_files([f"{folder}/[x].csv", f"{folder}/{{y}}.csv"])
    ] == ["[x].csv", "{y}.csv"]
    (missing,) = find_source_files([f"{folder}/{{z}}.csv"])
    assert missing.problem is not None, "braces without alternatives are a name"


def test_folders_with_a_marker_are_left_out_with_all_below(tmp_path: Path) -> None:
    for name in ("a.csv", "d/.skip", "d/b.csv", "d/e/c.csv", "f/g.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for source in (str(tmp_path), f"{tmp_path}/**/*.csv"):
        found = [file.path for file in find_source_files([source], marker=".skip")]
        assert found == [f"{tmp_path}/a.csv", f"{tmp_path}/f/g.csv"]
    (tmp_path / ".skip").touch()
    assert list(find_source_files([str(tmp_path)], marker=".skip")) == []


def test_names_come_in_the_order_of_keys_however_many_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "a!", "a/b", "a/c/d", "a0", "\n", "é", *(f"n{number}" for number in range(40))]
    for name in names:
        path = tmp_path / (f"{name}.d" if name == "a" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / os.fsdecode(b"\xff")).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a0")
    (tmp_path / "away").symlink_to(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path)
    held = list(walk_folder(str(tmp_path)))
    monkeypatch.setattr(external_sort, "SORTED_AT_ONCE", 3)
    found = list(walk_folder(str(tmp_path)))
    assert [file[:2] for file in found] == [file[:2] for file in held]
    relative = [os.fsencode(file.relative) for file in found]
    assert relative == sorted(relative)
    assert {file.relative for file in found if file.problem} == {"away", "loop"}
    assert all(file.path == f"{tmp_path}{os.sep}{file.relative}" for file in found)
