"""Writes remote files under a temporary name beside their own, and renames them when complete."""

from __future__ import annotations

import hashlib
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.sftp.errors import translate_error
from rolerunner.sftp.listing import lstat_or_none, may_be
from rolerunner.sftp.reading import MIB
from rolerunner.sftp.ssh import ConnectionLost, list_remote_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.sftp.sessions import SftpSessions

_MAX_NAME = 255
"""Bytes of a file name on the usual file systems (NAME_MAX)."""
_UNSURE = 4 * MIB
"""Bytes at the end of an unfinished file that are written again: the server may have received them
without order when its connection broke."""
_COMPARED = MIB
"""Bytes before these that must be those of the source."""


@dataclass(frozen=True)
class NewFile:
    """A file to write: ``source`` names its content, such as an object and its ETag."""

    path: str
    source: str
    size: int
    mtime: Optional[int] = None
    """Its modification time in seconds since 1970; None for the server's own."""
    replaces: bool = True
    """False if a file that exists is an error."""
    writer: str = ""
    """The run that writes it, so that two runs never write into one unfinished file."""

    @property
    def temporary(self) -> str:
        """The path of the unfinished file, the same for the same writer and content."""
        return self._beside("part")

    @property
    def set_aside_path(self) -> str:
        """The path of the file that is there, while a server replaces it in steps."""
        return self._beside("old")

    def _beside(self, ending: str) -> str:
        folder, slash, name = self.path.rpartition("/")
        identity = f"{self.writer}\0{self.source}\0{self.size}\0{name}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        end = f".{digest}.{ending}"
        room = _MAX_NAME - len(end) - 1
        return f"{folder}{slash}.{name.encode()[:room].decode('utf-8', 'ignore')}{end}"


class RemoteFolders:
    """Creates the folders of new files, each once."""

    def __init__(self, sessions: SftpSessions) -> None:
        self._sessions = sessions
        self._known = {"", "/"}
        self._lock = threading.Lock()

    def ensure(self, folder: str) -> None:
        """Creates a folder and those above it, unless they exist. Raises StepError."""
        folder = folder.rstrip("/")
        with self._lock:
            if folder not in self._known:
                self._create(folder)

    def _create(self, folder: str) -> None:
        if folder in self._known:
            return
        found = self._sessions.run(
            lambda client: lstat_or_none(client, folder, follow=True), folder, "find it"
        )
        if found is None:
            self._create(folder.rpartition("/")[0])
            self._sessions.run(lambda client: _make_folder(client, folder), folder, "create it")
        elif not may_be(found.st_mode, stat.S_IFDIR):
            raise StepError(
                f"{folder} is a file on the server, and would have to be a folder",
                hint="name another target, or rename the file on the server",
                type="NotAFolder",
            )
        self._known.add(folder)


def _make_folder(client: Any, folder: str) -> None:
    try:
        client.mkdir(folder)
    except OSError:
        if lstat_or_none(client, folder, follow=True) is None:
            raise


def write_whole(sessions: SftpSessions, new: NewFile, data: bytes) -> None:
    """Writes a small file. Raises StepError; nothing of it is left then."""
    was_complete = False

    def write(client: Any) -> None:
        nonlocal was_complete
        if was_complete and _is_renamed(client, new):
            return
        try:
            with client.open_file(new.temporary, "create") as opened:
                opened.write(0, [data])
            check_complete(client, new)
            was_complete = True
            rename_file(client, new)
        except (OSError, StepError) as error:
            if not isinstance(translate_error(error, "", ""), ConnectionLost):
                with suppress(OSError):
                    client.remove(new.temporary)
            raise

    sessions.run(write, new.path, "write it")


class LargeFile:
    """A large file, which another attempt continues where this one ended.

    ``is_kept`` says that a later run does so, too: otherwise a stopped run removes the file.
    ``read_from`` yields the blocks of the source from a position on, and ``read_range`` returns
    its bytes from a position, so many.
    """

    def __init__(
        self,
        new: NewFile,
        read_from: Callable[[int], Iterator[bytes]],
        read_range: Callable[[int, int], bytes],
        *,
        is_kept: bool = True,
    ) -> None:
        self._new = new
        self._is_kept = is_kept
        self._read_from = read_from
        self._read_range = read_range
        self._written = 0
        self.resumed = 0
        """Bytes that were there already when the first attempt began."""

    def write(self, sessions: SftpSessions) -> None:
        """Writes the file. Raises StepError; an unfinished file is kept if the connection broke."""
        new = self._new
        try:
            sessions.run(self._attempt, new.path, "write it", lambda: self._written)
        except StepError as error:
            if not isinstance(error, ConnectionLost) and error.type != "Stopped":
                with suppress(StepError):
                    sessions.run(lambda client: client.remove(new.temporary), new.path, "")
            raise

    def _attempt(self, client: Any) -> None:
        new = self._new
        if self._written == new.size and _is_renamed(client, new):
            return
        start = self._find_start(client)
        if not self._written:
            self.resumed = start
        try:
            with client.open_file(new.temporary, "write" if start else "create") as opened:
                opened.write(start, self._count_bytes(start))
        except StepError as error:
            if error.type == "Stopped" and not self._is_kept:
                with suppress(*list_remote_errors()):  # nobody continues it
                    client.remove(new.temporary)
            raise
        check_complete(client, new)
        rename_file(client, new)

    def _count_bytes(self, start: int) -> Iterator[bytes]:
        at = start
        for block in self._read_from(start):
            yield block
            at += len(block)
            self._written = max(self._written, at)

    def _find_start(self, client: Any) -> int:
        """Returns the position from which to write; 0 unless the content before it is right."""
        temporary = self._new.temporary
        there = lstat_or_none(client, temporary)
        if there is None or not may_be(there.st_mode, stat.S_IFREG):
            return 0
        start = min(there.st_size or 0, self._new.size) - _UNSURE
        if start < _COMPARED or not _can_continue(client, temporary, there.st_size):
            return 0
        with client.open_file(temporary, "read") as opened:
            found = opened.read(start - _COMPARED, _COMPARED)
        return start if found == self._read_range(start - _COMPARED, _COMPARED) else 0


def _can_continue(client: Any, path: str, size: int) -> bool:
    """Returns True if the server opens a file without emptying it; some gateways do not."""
    try:
        with client.open_file(path, "write") as opened:
            return bool(opened.stat().st_size == size)
    except OSError as error:
        if isinstance(translate_error(error, "", ""), ConnectionLost):
            raise
        return False


def check_complete(client: Any, new: NewFile) -> None:
    """Sets the time and compares the size of a file that was written. Raises IntegrityFailed.

    The file is closed by then: some servers store it only when it is.
    """
    if new.mtime is not None:
        _set_time(client, new)
    size = client.lstat(new.temporary).st_size
    if size != new.size:
        has = "does not report how many bytes it has" if size is None else f"has {size:,} bytes"
        raise IntegrityFailed(
            f"{new.path}: the server {has} of {new.size:,}; nothing has this name"
        )


def _set_time(client: Any, new: NewFile) -> None:
    """Sets the time, where the server lets the user do that."""
    try:
        client.utime(new.temporary, (new.mtime, new.mtime))
    except OSError as error:
        if isinstance(translate_error(error, "", ""), ConnectionLost):
            raise


def rename_file(client: Any, new: NewFile) -> None:
    """Gives a complete file its name, in one step where the server can do that.

    Raises StepError if the name exists and must not be replaced.
    """
    if not new.replaces:
        _rename_new(client, new)
        return
    if not client.can_replace:
        _replace_in_steps(client, new)
        return
    try:
        client.posix_rename(new.temporary, new.path)
    except OSError as error:
        if not isinstance(translate_error(error, "", ""), ConnectionLost):
            _check_no_folder(lstat_or_none(client, new.path), new.path)
        raise


def _is_renamed(client: Any, new: NewFile) -> bool:
    """Returns True if the connection broke after the server had renamed a complete file."""
    if lstat_or_none(client, new.temporary) is not None:
        return False
    there = lstat_or_none(client, new.path)
    if there is None or there.st_size != new.size:
        return False
    if new.replaces and not client.can_replace:
        _remove_replaced(client, new)
    return True


def _rename_new(client: Any, new: NewFile) -> None:
    if lstat_or_none(client, new.path) is not None:  # the rename of some servers replaces a file
        raise make_exists_error(new.path)
    try:
        client.rename(new.temporary, new.path)
    except OSError as error:
        is_lost = isinstance(translate_error(error, "", ""), ConnectionLost)
        if not is_lost and lstat_or_none(client, new.path) is not None:
            raise make_exists_error(new.path) from None
        raise


def _replace_in_steps(client: Any, new: NewFile) -> None:
    """Renames on a server without posix-rename@openssh.com, whose rename may replace nothing.

    A file that is there gets another name first, and its own again if the new one cannot have it.
    """
    there = lstat_or_none(client, new.path)
    _check_no_folder(there, new.path)
    try:
        client.rename(new.temporary, new.path)
    except OSError as error:
        if there is None or isinstance(translate_error(error, "", ""), ConnectionLost):
            raise
        client.rename(new.path, new.set_aside_path)
        try:
            client.rename(new.temporary, new.path)
        except OSError:
            client.rename(new.set_aside_path, new.path)
            raise
    _remove_replaced(client, new)


def _remove_replaced(client: Any, new: NewFile) -> None:
    """Removes what a new file has replaced, also before the connection was lost."""
    if lstat_or_none(client, new.set_aside_path) is not None:
        client.remove(new.set_aside_path)


def _check_no_folder(there: Optional[Any], path: str) -> None:
    if there is not None and stat.S_ISDIR(there.st_mode or 0):
        raise StepError(
            f"{path} is a folder on the server",
            hint="name another target, or remove the folder",
            type="NotAFile",
        )


def make_exists_error(path: str) -> StepError:
    """Returns the error that a file exists."""
    return StepError(f"{path}: already exists ('if_exists: fail')", type="AlreadyThere")
