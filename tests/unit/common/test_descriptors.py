"""Folders that are opened part by part: created, refused through links, emptied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rolerunner.common.descriptors import open_below, remove_file_below
from rolerunner.errors import LocalFileFailed, UnsafeKey


def count_open() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("below", ["", "/a", "/a/b/c", "//a/"])
def test_missing_folders_are_created_and_the_last_is_opened(tmp_path: Path, below: str) -> None:
    folder = str(tmp_path / "new" / "out")
    before = count_open()
    for _ in range(2):
        descriptor = open_below(folder, folder + below)
        assert os.path.samestat(os.fstat(descriptor), os.stat(folder + below))
        os.close(descriptor)
    assert count_open() == before


def test_a_link_below_the_folder_is_refused_and_one_above_is_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "link").symlink_to("/")
    (tmp_path / "above").symlink_to("real")
    before = count_open()
    os.close(open_below(str(tmp_path / "above"), str(tmp_path / "above" / "x")))
    for inner in ("link", "link/etc"):
        with pytest.raises(UnsafeKey, match="leads through the link 'link', out of the target"):
            open_below(str(tmp_path / "real"), str(tmp_path / "real" / inner))
    assert count_open() == before


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        open_below(str(tmp_path), str(tmp_path / "file" / "x"))


def test_a_file_is_removed_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "d" / "a"
    path.parent.mkdir()
    path.touch()
    for _ in range(2):
        remove_file_below(str(tmp_path), str(path))
        assert not path.exists()
    path.mkdir()
    with pytest.raises(LocalFileFailed):
        remove_file_below(str(tmp_path), str(path))
    assert path.is_dir()
