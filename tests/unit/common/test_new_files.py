"""New files: temporary names, links that somebody else puts there, modes."""

import os
from pathlib import Path

import pytest

from rolerunner.common import new_files
from rolerunner.common.descriptors import remove_file_below
from rolerunner.common.new_files import (
    NewFile,
    TargetFolder,
    create_atomically,
    remove_temporaries_below,
)
from rolerunner.errors import LocalFileFailed, UnsafeKey
from rolerunner.storage.transfer_files import SharedFile


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere/private"
    path.parent.mkdir()
    path.write_bytes(b"private")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_at_a_name_that_is_used_again_is_not_followed(tmp_path: Path, private: Path) -> None:
    folder = TargetFolder.at(tmp_path)
    first = NewFile(tmp_path / "a", folder)
    first.open()
    seen = first.temporary
    first.commit()
    os.symlink(private, seen)
    second = NewFile(tmp_path / "b", folder)
    os.write(second.open(), b"mine")
    assert second.temporary != seen
    second.commit()
    assert private.read_bytes() == b"private"
    assert (tmp_path / "b").read_bytes() == b"mine"


def test_names_of_temporary_files_are_not_predictable(tmp_path: Path) -> None:
    opened = [NewFile(tmp_path / str(number)) for number in range(20)]
    for file in opened:
        file.open()
    numbers = [int(file.temporary.rpartition("-")[2], 16) for file in opened]
    assert len({after - before for before, after in zip(numbers, numbers[1:])}) == 19
    assert all(new_files.TEMPORARY_NAME.fullmatch(Path(file.temporary).name) for file in opened)
    for file in opened:
        file.discard()
    assert names(tmp_path) == []


def test_a_temporary_file_that_was_replaced_is_a_failure(tmp_path: Path, private: Path) -> None:
    file = NewFile(tmp_path / "target")
    descriptor = file.open()
    os.unlink(file.temporary)
    os.symlink(private, file.temporary)
    os.write(descriptor, b"mine")
    with pytest.raises(LocalFileFailed, match="was replaced while it was written"):
        file.commit()
    assert private.read_bytes() == b"private"
    assert not os.path.lexists(tmp_path / "target")


@pytest.mark.parametrize("put", ["link", "pipe", "file"])
def test_another_process_opens_the_same_file_or_none(
    tmp_path: Path, private: Path, put: str
) -> None:
    file = NewFile(tmp_path / "target")
    file.open()
    place = SharedFile.of(file)
    with place.writable() as descriptor:
        os.write(descriptor, b"part")
    os.unlink(place.path)
    {
        "link": lambda: os.symlink(private, place.path),
        "pipe": lambda: os.mkfifo(place.path),
        "file": lambda: Path(place.path).touch(),
    }[put]()
    with pytest.raises(LocalFileFailed), place.writable():
        pass
    assert private.read_bytes() == b"private"
    file.discard()


def test_a_folder_that_became_a_link_is_not_entered(tmp_path: Path, private: Path) -> None:
    target = tmp_path / "out"
    (target / "a").mkdir(parents=True)
    folder = TargetFolder.at(target)
    (target / "a").rmdir()
    (target / "a").symlink_to(private.parent)
    for path in (target / "a/private", target / "a/deeper/x"):
        with pytest.raises(UnsafeKey, match="through the link 'a'"):
            NewFile(path, folder).open()
    with pytest.raises(UnsafeKey):
        remove_file_below(str(target), str(target / "a/private"))
    assert names(private.parent) == ["private"]


def test_a_folder_that_becomes_a_link_before_the_rename_keeps_the_file(
    tmp_path: Path, private: Path
) -> None:
    target = tmp_path / "out"
    file = NewFile(target / "a/private", TargetFolder.at(target))
    os.write(file.open(), b"mine")
    (target / "a").rename(target / "moved")
    (target / "a").symlink_to(private.parent)
    file.commit()
    assert private.read_bytes() == b"private"
    assert (target / "moved/private").read_bytes() == b"mine"


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), create_atomically(tmp_path / "deep/target"):
        raise RuntimeError
    assert names(tmp_path / "deep") == []


def test_a_sweep_takes_the_files_of_one_token_alone(tmp_path: Path) -> None:
    swept, other = TargetFolder.at(tmp_path), TargetFolder.at(tmp_path)
    files = [
        NewFile(tmp_path / "a/b/x", swept),
        NewFile(tmp_path / "y", swept),
        NewFile(tmp_path / "z", other),
    ]
    for file in files:
        file.open()
    users = [tmp_path / ".rolerunner-notes", tmp_path / f".rolerunner-{swept.token}-mine"]
    for path in users:
        path.touch()
    remove_temporaries_below(str(tmp_path), swept.token)
    assert [os.path.exists(file.temporary) for file in files] == [False, False, True]
    assert all(path.exists() for path in users)
    for file in files:
        file.discard()


def test_a_folder_that_another_thread_makes_meanwhile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def open_late(path: str, *arguments: object, **more: object) -> int:
        try:
            return opened(path, *arguments, **more)  # type: ignore[arg-type]
        except FileNotFoundError:
            os.makedirs(tmp_path / "new", exist_ok=True)
            raise

    monkeypatch.setattr(os, "open", open_late)
    with create_atomically(tmp_path / "new" / "file") as file:
        os.write(file.descriptor, b"x")
    assert (tmp_path / "new" / "file").read_bytes() == b"x"


def test_a_folder_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LocalFileFailed), create_atomically(tmp_path / "file" / "below"):
        raise AssertionError
