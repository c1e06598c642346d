"""Small files: atomic, private where asked for, and properties of their file system."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from rolerunner.common import files
from rolerunner.common.files import (
    check_writable,
    copy_file,
    count_free_bytes,
    is_case_insensitive,
    read_file,
    write_file,
)
from rolerunner.errors import LocalFileFailed


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere/private"
    path.parent.mkdir()
    path.write_bytes(b"private")
    return path


def test_a_link_at_the_final_name_is_replaced_and_not_followed(
    tmp_path: Path, private: Path
) -> None:
    (tmp_path / "target").symlink_to(private)
    write_file(tmp_path / "target", b"mine")
    assert not (tmp_path / "target").is_symlink()
    assert private.read_bytes() == b"private"


def test_private_files_have_mode_0600_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0o000, 0o777):
        before = os.umask(mask)
        try:
            write_file(tmp_path / f"private-{mask}", b"x", private=True)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"private-{mask}").stat().st_mode) == 0o600


def test_a_pipe_or_device_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_file(tmp_path / "pipe", b"result")
    assert os.read(reader, 100) == b"result"
    os.close(reader)
    with pytest.raises(LocalFileFailed):  # nobody reads: an error, and no waiting
        write_file(tmp_path / "pipe", b"result")
    write_file(Path("/dev/null"), b"result")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_copy_is_the_owners_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1_000_000)
    source.chmod(0o644)
    copy_file(source, tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == source.read_bytes()
    assert stat.S_IMODE((tmp_path / "new" / "copy").stat().st_mode) == 0o600
    with pytest.raises(LocalFileFailed, match="none: No such file or directory"):
        copy_file(tmp_path / "none", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_case_is_probed_in_the_nearest_folder_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    expected = (tmp_path / "A").exists()
    assert is_case_insensitive(tmp_path / "not" / "yet") is expected
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_ignores_case_is_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    monkeypatch.setattr(
        files.Path,  # type: ignore[attr-defined]  # the class of all paths
        "exists",
        lambda path: exists(path) or exists(path.with_name(path.name.lower())),
    )
    assert is_case_insensitive(tmp_path)


def test_free_bytes_are_those_of_the_nearest_folder(tmp_path: Path) -> None:
    free = count_free_bytes(tmp_path / "not" / "yet")
    assert abs(free - shutil.disk_usage(tmp_path).free) < 1 << 30


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"before")
    os.mkfifo(tmp_path / "pipe")
    for name in ("there", "new", "folder/new", "pipe"):
        check_writable(tmp_path / name)
    assert (tmp_path / "there").read_bytes() == b"before"
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["folder", "pipe", "there"]


def test_a_place_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("", "file/x"):
        with pytest.raises(LocalFileFailed) as raised:
            check_writable(tmp_path / place)
        assert raised.value.hint


def test_a_file_is_read_up_to_a_limit_and_what_has_no_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 3) == b"123"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "gone"):
        with pytest.raises(LocalFileFailed, match=str(path)):
            read_file(path, 3)
