"""Listings of servers that say little, nothing or nonsense of their files."""

from __future__ import annotations

import errno
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.sftp.errors import translate_error
from rolerunner.sftp.listing import RemoteEntry, RemoteFile, RemoteListing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


class Server:
    """A server with one folder, and the session that shows it."""

    def __init__(self, *entries: RemoteEntry, **targets: Any) -> None:
        """``targets`` are the attributes that links lead to."""
        self._entries = entries
        self._targets = targets

    def run(self, work: Callable[[Any], Any], path: str, doing: str, **_: Any) -> Any:
        """Stands for the sessions."""
        try:
            return work(self)
        except (OSError, StepError) as error:
            raise translate_error(error, path, doing) from None

    def iter_folder(self, path: str) -> Iterator[RemoteEntry]:
        assert path == "out/"
        yield from self._entries

    def lstat(self, path: str) -> RemoteEntry:
        return next(each for each in self._entries if each.filename == path.rpartition("/")[2])

    def stat(self, path: str) -> Any:
        found = self._targets.get(path.rpartition("/")[2])
        if found is None:
            raise OSError(errno.ENOENT, "No such file")
        return found


def list_source(server: Server, symlinks: str = "skip", source: str = "out/") -> list[RemoteFile]:
    sessions: Any = server
    return list(RemoteListing(sessions, source, symlinks, Cancel()).list())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_name_that_no_file_can_have_ends_the_listing(name: str) -> None:
    with pytest.raises(StepError) as caught:
        list_source(Server(RemoteEntry("a", FILE, 1, 1), RemoteEntry(name, FILE, 1, 1)))
    assert caught.value.type == "UnsafeName"
    assert repr(name) in caught.value.message


@pytest.mark.parametrize(
    ("mode", "size"), [(None, 1), (FILE, None)], ids=["without a mode", "without a size"]
)
def test_a_file_of_unknown_kind_or_size_is_not_read(
    mode: Optional[int], size: Optional[int]
) -> None:
    with pytest.raises(StepError) as caught:
        list_source(Server(RemoteEntry("a", mode, size, 1)))
    assert caught.value.type == "NoAttributes"


def test_a_time_that_is_not_told_is_none() -> None:
    (file,) = list_source(Server(RemoteEntry("a", FILE, 3, None)))
    assert file == RemoteFile("out/a", "a", 3, None)
    assert file == RemoteFile.from_info("out/a", file.as_info())


def test_a_link_that_leads_nowhere_is_named() -> None:
    server = Server(RemoteEntry("link", LINK, 1, 1))
    assert list_source(server) == []
    with pytest.raises(StepError, match="out/link: the symbolic link cannot be followed"):
        list_source(server, "follow", "out/link")


def test_a_link_is_followed_as_the_one_source() -> None:
    target = SimpleNamespace(st_mode=FILE, st_size=3, st_mtime=1)
    server = Server(RemoteEntry("link", LINK, 1, 1), link=target)
    assert list_source(server, "follow", "out/link") == [RemoteFile("out/link", "link", 3, 1)]


def test_a_folder_as_the_one_source_says_how_to_write_it() -> None:
    with pytest.raises(StepError) as caught:
        list_source(Server(RemoteEntry("in", FOLDER, 1, 1)), source="out/in")
    assert caught.value.type == "NotAFile"
    assert "'source: out/in/'" in caught.value.hint
