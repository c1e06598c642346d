"""New files on a server: temporary names, and renaming on servers that can do less."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from rolerunner.errors import StepError
from rolerunner.sftp.writing import (
    LargeFile,
    NewFile,
    RemoteFolders,
    check_complete,
    rename_file,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class OldServer:
    """The disk, as a server without posix-rename@openssh.com shows it."""

    can_replace = False

    def rename(self, old: str, new: str) -> None:
        if Path(new).exists():
            raise OSError("Failure")
        Path(old).rename(new)

    def remove(self, path: str) -> None:
        Path(path).unlink()

    def lstat(self, path: str) -> Any:
        return Path(path).lstat()


def make_file(folder: Path, *, replaces: bool = True) -> NewFile:
    new = NewFile(str(folder / "a"), "s3://b/a", 3, replaces=replaces)
    Path(new.temporary).write_text("new")
    return new


def test_an_unfinished_file_has_the_same_name_for_the_same_content_only() -> None:
    one = NewFile("/in/a.csv", "s3://b/a etag", 3)
    assert one.temporary == NewFile("/in/a.csv", "s3://b/a etag", 3).temporary
    assert one.temporary != NewFile("/in/a.csv", "s3://b/a other", 3).temporary
    assert one.temporary != NewFile("/in/a.csv", "s3://b/a etag", 3, writer="run").temporary
    assert one.temporary.startswith("/in/.a.csv.")
    assert one.temporary.endswith(".part")


@pytest.mark.parametrize("name", ["x" * 255, "\u4e2d" * 85, "a"])
def test_its_name_is_not_too_long(name: str) -> None:
    temporary = NewFile(f"in/{name}", "s", 1).temporary
    assert temporary.startswith("in/.")
    assert len(temporary.partition("/")[2].encode()) <= 255


@pytest.mark.parametrize("is_there", [False, True])
def test_a_server_without_the_extension_replaces_a_file(is_there: bool, tmp_path: Path) -> None:
    new = make_file(tmp_path)
    if is_there:
        (tmp_path / "a").write_text("old")
    rename_file(OldServer(), new)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "new"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StepError, match="is a folder on the server"):
        rename_file(OldServer(), make_file(tmp_path))
    assert (tmp_path / "a").is_dir()


def test_a_file_that_must_be_new_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(StepError, match="already exists"):
        rename_file(OldServer(), make_file(tmp_path, replaces=False))
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_that_must_be_new_gets_its_name(tmp_path: Path) -> None:
    rename_file(OldServer(), make_file(tmp_path, replaces=False))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a", "new")]


class OpenFile:
    """An open file of the disk, with the methods of a remote one."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def write(self, start: int, blocks: Iterator[bytes]) -> None:
        self._opened.seek(start)
        for block in blocks:
            self._opened.write(block)
            self._opened.flush()


class Server(OldServer):
    """The disk, as one session shows it."""

    def open_file(self, path: str, mode: str) -> OpenFile:
        return OpenFile(Path(path).open({"create": "wb", "read": "rb", "write": "r+b"}[mode]))

    def run(self, work: Any, *_: object) -> None:
        """Stands for the sessions."""
        work(self)


@pytest.mark.parametrize(("is_kept", "left"), [(True, 1), (False, 0)])
def test_a_stopped_run_leaves_what_another_continues(
    is_kept: bool, left: int, tmp_path: Path
) -> None:
    def read_from(_: int) -> Iterator[bytes]:
        yield b"begun"
        yield b"more"
        raise StepError("stopped before it was done", type="Stopped")

    new, server = NewFile(str(tmp_path / "a"), "s", 100), Server()
    large = LargeFile(new, read_from, lambda *_: b"", is_kept=is_kept)
    with pytest.raises(StepError, match="stopped"):
        large.write(server)  # type: ignore[arg-type]  # one session stands for all
    assert len([*tmp_path.iterdir()]) == left


class LosingServer(Server):
    """Loses the connection once, after a file was renamed and before that is confirmed."""

    def __init__(self) -> None:
        self.renamed = 0

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self.renamed += 1
        if self.renamed == 1:
            raise ConnectionResetError(errno.ECONNRESET, "reset")

    def run(self, work: Any, *_: object) -> None:
        """Stands for the sessions, which repeat what was lost."""
        try:
            work(self)
        except ConnectionResetError:
            work(self)


@pytest.mark.parametrize("replaces", [False, True])
def test_a_rename_whose_answer_was_lost_is_recognised(replaces: bool, tmp_path: Path) -> None:
    server: Any = LosingServer()
    write_whole(server, NewFile(str(tmp_path / "a"), "s", 3, replaces=replaces), b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"new")]
    assert server.renamed == 1


class BusyServer(Server):
    """A server on which another client makes each folder a moment earlier."""

    def __init__(self, *, makes_folder: bool) -> None:
        self._makes_folder = makes_folder

    def run(self, work: Any, *_: object) -> Any:
        return work(self)

    def stat(self, path: str) -> Any:
        return Path(path).stat()

    def mkdir(self, path: str) -> None:
        if self._makes_folder:
            Path(path).mkdir()
        raise OSError("Failure")


@pytest.mark.parametrize("makes_folder", [False, True])
def test_a_folder_that_another_client_made_is_used(makes_folder: bool, tmp_path: Path) -> None:
    server: Any = BusyServer(makes_folder=makes_folder)
    folders = RemoteFolders(server)
    if makes_folder:
        folders.ensure(str(tmp_path / "in/new"))
        assert (tmp_path / "in/new").is_dir()
    else:
        with pytest.raises(OSError, match="Failure"):
            folders.ensure(str(tmp_path / "in"))


def test_a_large_file_whose_rename_was_not_confirmed_is_complete(tmp_path: Path) -> None:
    server: Any = LosingServer()
    reads: list[int] = []

    def read_from(start: int) -> Iterator[bytes]:
        reads.append(start)
        yield b"new"

    new = NewFile(str(tmp_path / "a"), "s", 3, replaces=False)
    LargeFile(new, read_from, lambda *_: b"").write(server)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert reads == [0]


def test_a_little_of_an_unfinished_file_is_written_anew(tmp_path: Path) -> None:
    server: Any = Server()
    new = NewFile(str(tmp_path / "a"), "s", 3)
    Path(new.temporary).write_bytes(b"ol")
    LargeFile(new, lambda start: iter([b"new"[start:]]), lambda *_: b"").write(server)
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("large", [False, True])
def test_a_file_of_another_size_gets_no_name(large: bool, tmp_path: Path) -> None:
    server: Any = Server()
    new = NewFile(str(tmp_path / "a"), "s", 5)
    large_file = LargeFile(new, lambda _: iter([b"new"]), lambda *_: b"")
    write = large_file.write if large else lambda sessions: write_whole(sessions, new, b"new")
    with pytest.raises(StepError, match="the server has 3 bytes of 5"):
        write(server)
    assert list(tmp_path.iterdir()) == []


class BreakingServer(OldServer):
    """Loses the connection when a file is renamed, or its time is set."""

    can_replace = True

    def posix_rename(self, old: str, new: str) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    def rename(self, old: str, new: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    def utime(self, path: str, times: tuple[int, int]) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_a_lost_connection_is_no_refusal_of_the_server(tmp_path: Path) -> None:
    new = make_file(tmp_path)
    with pytest.raises(ConnectionResetError):
        rename_file(BreakingServer(), new)
    with pytest.raises(PermissionError):
        rename_file(BreakingServer(), make_file(tmp_path, replaces=False))
    with pytest.raises(ConnectionResetError):
        check_complete(BreakingServer(), NewFile(new.path, "s", 3, mtime=1))
    assert Path(new.temporary).exists()
