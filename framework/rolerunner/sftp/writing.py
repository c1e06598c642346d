"""Writes remote files under a temporary name beside their own, and renames them when complete."""

from __future__ import annotations

import errno
import hashlib
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.sftp.errors import translate_error
from rolerunner.sftp.listing import lstat_or_none
from rolerunner.sftp.reading import CHUNK, MIB, read_at
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
        folder, slash, name = self.path.rpartition("/")
        identity = f"{self.writer}\0{self.source}\0{self.size}\0{name}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        end = f".{digest}.part"
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
        elif not stat.S_ISDIR(found.st_mode or stat.S_IFDIR):
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
            with client.open(new.temporary, "wb") as opened:
                _write_blocks(opened, iter([data]))
                finish_file(opened, new)
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
            with client.open(new.temporary, "r+b" if start else "wb") as opened:
                if start:
                    opened.truncate(start)
                    opened.seek(start)
                _write_blocks(opened, self._count_bytes(start))
                finish_file(opened, new)
        except StepError as error:
            if error.type == "Stopped" and not self._is_kept:
                with suppress(*list_remote_errors()):  # nobody continues it
                    client.remove(new.temporary)
            raise
        rename_file(client, new)

    def _count_bytes(self, start: int) -> Iterator[bytes]:
        at = start
        for block in self._read_from(start):
            yield block
            at += len(block)
            self._written = max(self._written, at)

    def _find_start(self, client: Any) -> int:
        """Returns the position from which to write; 0 unless the content before it is right."""
        there = lstat_or_none(client, self._new.temporary)
        if there is None or not stat.S_ISREG(there.st_mode or stat.S_IFREG):
            return 0
        start = (min(there.st_size or 0, self._new.size) - _UNSURE) // CHUNK * CHUNK
        if start < _COMPARED:
            return 0
        with client.open(self._new.temporary, "rb") as opened:
            found = read_at(opened, start - _COMPARED, _COMPARED)
        return start if found == self._read_range(start - _COMPARED, _COMPARED) else 0


def _write_blocks(opened: Any, blocks: Iterator[bytes]) -> None:
    """Writes blocks without waiting for each; at the end all of them have been confirmed."""
    opened.set_pipelined(True)
    held = b""
    for block in blocks:
        if held:
            opened.write(held)
        held = bytes(block)
    rest = held[-CHUNK:]
    if len(held) > len(rest):
        opened.write(held[: -len(rest)])
    # a write that is not pipelined waits for those before it, and raises their errors
    opened.set_pipelined(False)
    if rest:
        opened.write(rest)


def finish_file(opened: Any, new: NewFile) -> None:
    """Sets the time and compares the size of a file that was written. Raises IntegrityFailed."""
    if new.mtime is not None:
        with suppress(PermissionError):  # some servers let no user set times
            _set_time(opened, new.mtime)
    size = opened.stat().st_size
    if size != new.size:
        raise IntegrityFailed(
            f"{new.path}: the server has {size:,} bytes of {new.size:,}; nothing has this name"
        )


def _set_time(opened: Any, mtime: int) -> None:
    try:
        opened.utime((mtime, mtime))
    except OSError as error:
        if isinstance(translate_error(error, "", ""), ConnectionLost):
            raise
        raise PermissionError(errno.EACCES, str(error)) from None


def rename_file(client: Any, new: NewFile) -> None:
    """Gives a complete file its name, in one step where the server can do that.

    Raises StepError if the name exists and must not be replaced.
    """
    if not new.replaces:
        _rename_new(client, new)
        return
    try:
        client.posix_rename(new.temporary, new.path)
    except OSError as error:
        if error.errno is not None or isinstance(translate_error(error, "", ""), ConnectionLost):
            raise
        _rename_without_extension(client, new)


def _is_renamed(client: Any, new: NewFile) -> bool:
    """Returns True if the connection broke after the server had renamed a complete file."""
    there = lstat_or_none(client, new.path)
    is_left = lstat_or_none(client, new.temporary) is not None
    return not is_left and there is not None and there.st_size == new.size


def _rename_new(client: Any, new: NewFile) -> None:
    try:
        client.rename(new.temporary, new.path)  # which never replaces a file
    except OSError as error:
        if error.errno is None and lstat_or_none(client, new.path) is not None:
            raise make_exists_error(new.path) from None
        raise


def _rename_without_extension(client: Any, new: NewFile) -> None:
    """Renames on a server without posix-rename@openssh.com, whose rename replaces nothing."""
    there = lstat_or_none(client, new.path)
    if there is not None and stat.S_ISDIR(there.st_mode or 0):
        raise StepError(
            f"{new.path} is a folder on the server",
            hint="name another target, or remove the folder",
            type="NotAFile",
        )
    if there is not None:
        client.remove(new.path)
    client.rename(new.temporary, new.path)


def make_exists_error(path: str) -> StepError:
    """Returns the error that a file exists."""
    return StepError(f"{path}: already exists ('if_exists: fail')", type="AlreadyThere")
