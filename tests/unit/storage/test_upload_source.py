"""Files that change are not uploaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.upload_source import UploadSource

if TYPE_CHECKING:
    from pathlib import Path

URI = S3Uri("bucket", "key")
DATA = b"0123456789"
INFO = ObjectInfo("key", len(DATA), "e")
SOURCE = ObjectRange(URI, INFO, 2, 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def test_ranges_of_a_source_are_read(file: Path) -> None:
    source = UploadSource.of(file)
    assert source(0, 10) == DATA
    assert source(2, 4) == b"2345"
    assert b"".join(source.read_blocks(Cancel())) == DATA


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(DATA[:-1]),
        lambda path: path.write_bytes(DATA + b"x"),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: (path.unlink(), path.write_bytes(DATA)),
    ],
    ids=["shorter", "longer", "another time", "another file"],
)
def test_a_source_that_changed_is_not_uploaded(file: Path, change: Any) -> None:
    source = UploadSource.of(file)
    change(file)
    with pytest.raises(LocalFileFailed, match="changed while it was read") as failed:
        source(0, 10)
    assert failed.value.type == "FileChanged"
    assert failed.value.hint == "upload it when it is no longer being written"


def test_a_source_that_is_cut_off_is_not_uploaded(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may return less than the size that it states."""
    source = UploadSource.of(file)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: read(fd, min(count, 4 - at), at))
    with pytest.raises(LocalFileFailed, match="changed while it was read"):
        source(0, 10)


def test_a_source_that_is_read_in_pieces_is_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = UploadSource.of(file)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: read(fd, min(count, 3), at))
    assert source(1, 9) == DATA[1:]


def test_a_source_without_a_size_is_not_read() -> None:
    source = UploadSource.of("/proc/self/status")
    with pytest.raises(LocalFileFailed, match="has content but no size") as failed:
        source(0, 0)
    assert failed.value.type == "NotAFile"


def test_an_empty_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    source = UploadSource.of(tmp_path / "empty")
    assert source(0, 0) == b""
    assert list(source.read_blocks(Cancel())) == [b""]


def test_what_is_no_file_is_refused(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalFileFailed, match="is a named pipe"):
        UploadSource.of(tmp_path / "pipe")
    with pytest.raises(LocalFileFailed, match="No such file"):
        UploadSource.of(tmp_path / "none")
    (tmp_path / "link").symlink_to(file)
    assert UploadSource.of(tmp_path / "link")(0, 10) == DATA
    with pytest.raises(LocalFileFailed, match="is no regular file"):
        UploadSource.of(tmp_path / "link", follow=False)


def test_a_link_that_takes_the_place_of_a_source_is_not_followed(
    tmp_path: Path, file: Path
) -> None:
    source = UploadSource.of(file, follow=False)
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")
    with pytest.raises(LocalFileFailed):
        source(0, 10)


def test_a_source_is_not_read_on_after_cancellation(file: Path) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        list(UploadSource.of(file).read_blocks(cancel))
