"""Lists the files of a remote folder, or one file. Only regular files are ever read."""

from __future__ import annotations

import errno
import json
import stat
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from rolerunner.common.wording import format_count
from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.selection.names import format_mtime
from rolerunner.sftp.names import show_path
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.sftp.sessions import SftpSessions

_NAMED = 3
"""Names that a note about what is left out has."""
_SPOOLED = 1 << 20
"""Bytes of a folder's entries that are kept in memory."""
_BATCH = 500
"""Entries after which a cancellation is noticed."""


class RemoteEntry(NamedTuple):
    """An entry of a folder, with the attributes that the server reports."""

    filename: str
    st_mode: Optional[int]
    st_size: Optional[int]
    st_mtime: Optional[int]


@dataclass(frozen=True)
class RemoteFile:
    """A regular file on the server.

    ``mtime`` is in seconds since 1970, and None if the server does not report it.
    """

    path: str
    relative: str
    size: int
    mtime: Optional[int]

    @classmethod
    def from_info(cls, path: str, info: ObjectInfo) -> RemoteFile:
        """Returns the file of a line of a list."""
        return cls(path, info.key, info.size, int(info.etag) if info.etag else None)

    def as_info(self) -> ObjectInfo:
        """Returns the file as a line of a list; its ETag holds the time."""
        if self.mtime is None:
            return ObjectInfo(self.relative, self.size)
        return ObjectInfo(
            self.relative, self.size, etag=str(self.mtime), modified=format_mtime(self.mtime)
        )


@dataclass
class LeftOut:
    """Counts what a listing leaves out, by its kind."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, path: str) -> None:
        """Counts one entry."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        named = self.names.setdefault(kind, [])
        if len(named) < _NAMED:
            named.append(show_path(path))

    def __str__(self) -> str:
        return "; ".join(
            f"{format_count(count, kind)} left out: {', '.join(map(_quote, self.names[kind]))}"
            + (", ..." if count > _NAMED else "")
            for kind, count in self.counts.items()
        )


def _quote(path: str) -> str:
    return f"'{path}'" if "\\x" in path else repr(path)


def join_path(folder: str, name: str) -> str:
    """Returns the path of a name in a folder."""
    return f"{folder}{name}" if folder.endswith("/") or not folder else f"{folder}/{name}"


def describe_kind(mode: int) -> str:
    """Returns what a file that is not regular is."""
    kinds = (
        (stat.S_ISLNK, "symbolic link"),
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "special file")


def may_be(mode: Optional[int], kind: int) -> bool:
    """Returns True for the mode of a kind, such as ``stat.S_IFDIR``, or of none.

    Some servers report permissions without the kind of the file, or nothing.
    """
    return mode is None or stat.S_IFMT(mode) in (0, kind)


def _is_unknown(mode: Optional[int]) -> bool:
    return mode is None or not stat.S_IFMT(mode)


def lstat_or_none(client: Any, path: str, *, follow: bool = False) -> Optional[Any]:
    """Returns the attributes of a path, or None if there is nothing. Raises OSError."""
    try:
        return client.stat(path) if follow else client.lstat(path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


class RemoteListing:
    """Lists below one source. ``symlinks`` is skip, follow or error."""

    def __init__(
        self,
        sessions: SftpSessions,
        source: str,
        symlinks: str,
        cancel: Cancel,
    ) -> None:
        self._sessions = sessions
        self._source = source
        self._symlinks = symlinks
        self._cancel = cancel
        self.left_out = LeftOut()

    def list(self) -> Iterator[RemoteFile]:
        """Yields every regular file, folder by folder. Raises StepError."""
        if not self._source.endswith("/"):
            found = self._find_single()
            if found is not None:
                yield found
            return
        ancestors = (self._normalize(self._source),) if self._symlinks == "follow" else ()
        pending: deque[tuple[str, str, tuple[str, ...]]] = deque([(self._source, "", ancestors)])
        while pending:
            folder, base, inside = pending.pop()
            for name, listed in self._read_folder(folder):
                path, relative = join_path(folder, name), base + name
                is_link = may_be(listed.st_mode, stat.S_IFLNK)
                attributes = self._complete(path, listed)
                if attributes is None:
                    continue
                if not stat.S_ISDIR(attributes.st_mode or 0):
                    yield from self._accept(path, relative, attributes)
                    continue
                if is_link:
                    inner = self._enter_link(path, inside)
                else:
                    inner = (*inside, join_path(inside[-1], name)) if inside else ()
                pending.append((f"{path}/", f"{relative}/", inner))

    def _complete(self, path: str, listed: RemoteEntry) -> Optional[RemoteEntry]:
        """Returns the attributes of what is listed; None if it is left out.

        It is looked up if it may be a link, and a file if the listing has not all of them.
        """
        if stat.S_ISDIR(listed.st_mode or 0):
            return listed
        is_complete = listed.st_size is not None and listed.st_mtime is not None
        if is_complete and not may_be(listed.st_mode, stat.S_IFLNK):
            return listed
        found = self._look_at(path)
        if found is None:
            return None
        mode = listed.st_mode if _is_unknown(found.st_mode) else found.st_mode
        return RemoteEntry(listed.filename, mode, found.st_size, found.st_mtime)

    def _find_single(self) -> Optional[RemoteFile]:
        attributes = self._look_at(self._source, is_source=True)
        if attributes is None:
            return None
        if stat.S_ISDIR(attributes.st_mode or 0):
            raise StepError(
                f"{self._source} is a folder on the server",
                hint=f"write 'source: {self._source}/' for the files below it",
                type="NotAFile",
            )
        name = self._source.rpartition("/")[2]
        return next(iter(self._accept(self._source, name, attributes, is_source=True)), None)

    def _read_folder(self, folder: str) -> Iterator[tuple[str, Any]]:
        """Yields the entries of a folder with their names, once all of them are known.

        They are kept on disk where they are many. If the connection is lost, the folder is read
        again from its beginning, since the order of entries may change.
        """
        with SpooledTemporaryFile(_SPOOLED, "w+", encoding="ascii") as entries:
            read = partial(self._spool_folder, folder, entries)
            self._sessions.run(read, folder, "list it", keeps_after_errors=False)
            entries.seek(0)
            for line in entries:
                entry = RemoteEntry(*json.loads(line))
                yield entry.filename, entry

    def _spool_folder(self, folder: str, entries: Any, client: Any) -> None:
        entries.seek(0)
        entries.truncate()
        for number, entry in enumerate(client.iter_folder(folder)):
            if number % _BATCH == 0:
                self._cancel.stop_if_set()
            self._check_name(folder, entry.filename)
            entries.write(f"{json.dumps(entry)}\n")

    def _check_name(self, folder: str, name: str) -> None:
        """Raises StepError for a name that a server cannot mean well."""
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            raise StepError(
                f"{show_path(folder)}: the server lists the name {name!r}, which no file can have",
                hint="the server is broken or hostile; nothing more was read",
                type="UnsafeName",
            )

    def _look_at(self, path: str, *, is_source: bool = False) -> Optional[Any]:
        """Returns what a path that may be a link is; None if it is left out."""
        found = self._sessions.run(lambda client: client.lstat(path), path, "read it")
        if found.st_mode is None or not stat.S_ISLNK(found.st_mode):
            return found
        if self._symlinks == "error" or (is_source and self._symlinks == "skip"):
            raise LocalFileFailed(
                f"{show_path(path)}: is a symbolic link on the server, and 'symlinks' is"
                f" '{self._symlinks}'",
                hint="set 'symlinks: follow' to read what it points to",
                type="SymbolicLink",
            )
        if self._symlinks == "skip":
            self.left_out.add("symbolic link", path)
            return None
        try:
            return self._sessions.run(lambda client: client.stat(path), path, "read it")
        except StepError as error:
            raise StepError(
                f"{show_path(path)}: the symbolic link cannot be followed: {error.message}",
                hint="leave it out with 'exclude', or set 'symlinks: skip'",
                type=error.type,
            ) from None

    def _normalize(self, path: str) -> str:
        real = self._sessions.run(lambda client: client.normalize(path), path, "read it")
        return str(real)

    def _enter_link(self, path: str, inside: tuple[str, ...]) -> tuple[str, ...]:
        real = self._normalize(path)
        if any(f"{each}/".startswith(f"{real.rstrip('/')}/") for each in inside):
            raise StepError(
                f"{show_path(path)}: the symbolic link leads to a folder around it, so it has"
                " no end",
                hint="leave it out with 'exclude', or set 'symlinks: skip'",
                type="LinkLoop",
            )
        return (*inside, real)

    def _accept(
        self, path: str, relative: str, attributes: Any, *, is_source: bool = False
    ) -> Iterator[RemoteFile]:
        """Yields a regular file; counts anything else, which is never opened."""
        mode = attributes.st_mode
        if not may_be(mode, stat.S_IFREG):
            if is_source:
                raise StepError(
                    f"{show_path(path)} is a {describe_kind(mode)} on the server, which is never"
                    " read",
                    type="NotAFile",
                )
            self.left_out.add(describe_kind(mode), path)
            return
        if _is_unknown(mode) or attributes.st_size is None:
            raise StepError(
                f"{show_path(path)}: the server does not report the kind and the size of the file",
                hint="without them a file cannot be read safely; ask the server's operator",
                type="NoAttributes",
            )
        yield RemoteFile(path, relative, attributes.st_size, attributes.st_mtime)
