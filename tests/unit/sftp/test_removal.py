"""A copied file is removed once, and only if it is as it was listed."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.sftp.listing import RemoteFile
from rolerunner.sftp.removal import remove_unchanged
from rolerunner.sftp.ssh import StatusError


class Server:
    """The disk, as sessions show it; the answer to the first removal is lost."""

    def __init__(self, *, loses: bool) -> None:
        self._loses = loses

    def run(self, work: Any, *_: object) -> None:
        try:
            work(self)
        except ConnectionResetError:
            work(self)

    def lstat(self, path: str) -> Any:
        return Path(path).lstat()

    def remove(self, path: str) -> None:
        Path(path).unlink()
        if self._loses:
            raise ConnectionResetError


def make_file(path: Path) -> RemoteFile:
    path.write_text("x")
    found = path.stat()
    return RemoteFile(str(path), path.name, found.st_size, found.st_mtime)  # type: ignore[arg-type]  # with decimals, as the disk has it


@pytest.mark.parametrize("loses", [False, True])
def test_a_file_is_removed_also_if_the_answer_is_lost(loses: bool, tmp_path: Path) -> None:
    server: Any = Server(loses=loses)
    remove_unchanged(server, make_file(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_kept(tmp_path: Path) -> None:
    server: Any = Server(loses=False)
    file = make_file(tmp_path / "a")
    (tmp_path / "a").write_text("more")
    with pytest.raises(StepError, match="changed while it was copied"):
        remove_unchanged(server, file)
    assert stat.S_ISREG((tmp_path / "a").stat().st_mode)


def test_a_file_that_was_gone_before_is_an_error(tmp_path: Path) -> None:
    server: Any = Server(loses=False)
    file = make_file(tmp_path / "a")
    (tmp_path / "a").unlink()
    with pytest.raises((FileNotFoundError, StatusError)):
        remove_unchanged(server, file)
