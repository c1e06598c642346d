"""Local files: paths that stay within their folder, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.errors import LocalFileFailed, UnsafeKey

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPORARY = ".rolerunner-"
TEMPORARY_NAME = re.compile(r"\.rolerunner-[0-9a-f]{16}(?:\.\d+)?-[0-9a-f]{16}")
"""Names of temporary files: a token, the id of a forked process, and a random number."""
_PROCESS_TOKEN = secrets.token_hex(8)
_FORKED = ""
_SPARE_NUMBERS: list[str] = []
_MAX_CLASHES = 1000
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
_FOLDER = (
    getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)
PRIVATE = 0o600
"""File mode of files that only the owner may read."""


def _mark_forked() -> None:
    """Gives temporary files of a forked process names that show its id."""
    global _FORKED  # noqa: PLW0603
    _FORKED = f".{os.getpid()}"
    _SPARE_NUMBERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)
MAX_NAME = 255
"""Bytes of a file name on the usual file systems (NAME_MAX)."""
_UNSAFE = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
"""Parts of a key that cannot be a file name: empty, ``.``, ``..``, or with a NUL."""
_HINTS = {
    errno.ENOSPC: "the disk is full: Glue Python Shell has some 14 GB free in /tmp, Spark workers 94 GB",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "the folder or file is not writable for this user",
    errno.EROFS: "the file system is read-only; in Glue write below /tmp",
    errno.ENAMETOOLONG: "a file name has at most 255 bytes on most file systems",
    errno.ENOTDIR: "a file stands where a folder must be",
    errno.EISDIR: "a folder stands where the file must be",
    errno.EMFILE: "no more open files are allowed: raise the limit (ulimit -n), or lower 'max_parallel'",
    errno.ENFILE: "the machine has as many files open as it may have",
}


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def not_regular_file_error(path: object, mode: int) -> LocalFileFailed:
    """Returns the error for a path that is not a regular file."""
    kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
    return LocalFileFailed(
        f"{path}: is {kind}, which is not read", hint="leave it out with 'exclude'", type="NotAFile"
    )


def expand_path(text: str) -> Path:
    """Returns a path of a spec as an absolute path; links are not resolved."""
    return Path(os.path.abspath(os.path.expanduser(text)))


def resolve_key_path(folder: Path, relative: str) -> str:
    """Returns the file for an object's relative key.

    Raises UnsafeKey if it would leave ``folder``.
    """
    if (
        _UNSAFE.search(relative)
        or len(relative) > MAX_NAME
        or not relative.isascii()
        or os.sep != "/"
    ):
        _check_parts(folder, relative)
    above = str(folder)
    path = f"{above}{'' if above.endswith(os.sep) else os.sep}{relative.replace('/', os.sep)}"
    if "/" in relative:
        _check_parents(folder, path, relative)
    return path


def _check_parts(folder: Path, relative: str) -> None:
    parts = relative.split("/")
    problem = ""
    try:
        os.fsencode(relative)
    except UnicodeEncodeError as error:
        raise LocalFileFailed(
            f"the key {relative!a} cannot be a file name: {_no_such_name(error)}",
            hint=_UTF8,
            type="FileNameNotEncodable",
        ) from None
    if "\0" in relative:
        problem = "has a NUL in it"
    elif any(part in ("", ".", "..") for part in parts):
        problem = "has an empty part, '.' or '..' in it"
    elif any(len(os.fsencode(part)) > MAX_NAME for part in parts):
        problem = f"has a part of more than {MAX_NAME} bytes"
    elif os.sep == "\\" and ("\\" in relative or ":" in relative):
        problem = "has a backslash or colon in it"
    if problem:
        raise UnsafeKey(f"the key '{relative}' {problem}: it cannot be a file below {folder}")


def _check_parents(folder: Path, path: str, relative: str) -> None:
    for number in range(relative.count("/"), 0, -1):
        parent = path.rsplit(os.sep, number)[0]
        if os.path.islink(parent):
            raise UnsafeKey(
                f"the key '{relative}' leads through the link {parent}, out of {folder}"
            )


_UTF8 = "run it with PYTHONUTF8=1, or in a UTF-8 locale such as LC_ALL=C.UTF-8"


def _no_such_name(error: UnicodeEncodeError) -> str:
    return f"the file system's encoding here is {sys.getfilesystemencoding()}, which has no {error.object[error.start : error.start + 1]!a}"


@contextlib.contextmanager
def translate_os_errors(path: Union[Path, str]) -> Iterator[None]:
    """Converts OSError to LocalFileFailed with a hint."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise LocalFileFailed(
            f"{str(path)!a}: {_no_such_name(error)}", hint=_UTF8, type="FileNameNotEncodable"
        ) from error
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "OSError")
        kind = "DiskFull" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "LocalFileFailed"
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise LocalFileFailed(
            f"{path}: {reason}", hint=_HINTS.get(error.errno or 0, code), type=kind
        ) from error


@dataclass(frozen=True)
class TargetFolder:
    """The folder that one attempt of a download writes to.

    ``token`` marks the names of its temporary files.
    """

    path: str
    token: str

    @classmethod
    def at(cls, path: Path) -> TargetFolder:
        """Returns the folder with a new token."""
        return cls(str(path), secrets.token_hex(8))


class NewFile:
    """A file written under a temporary name beside ``target`` and renamed when it is complete.

    The temporary file is always new and its name cannot be guessed, so links are never followed.
    With ``folder``, no part of the path below it may be a link. Methods raise LocalFileFailed,
    UnsafeKey.
    """

    __slots__ = (
        "_above",
        "_folder",
        "_mode",
        "_name",
        "_number",
        "_parent",
        "_target",
        "descriptor",
    )

    def __init__(
        self, target: Union[str, Path], folder: Optional[TargetFolder] = None, mode: int = 0o666
    ) -> None:
        self._target = str(target)
        self._above = os.path.dirname(self._target) or "."
        self._folder = folder
        self._mode = mode
        self._name = self._number = ""
        self._parent: Optional[int] = None
        """Descriptor of a folder below ``folder``, open until the file is renamed."""
        self.descriptor = -1

    @property
    def temporary(self) -> str:
        """The path of the temporary file; empty if there is none."""
        return f"{self._above}/{self._name}" if self._name else ""

    def open(self) -> int:
        """Creates the temporary file, or truncates it if it is open. Returns its descriptor."""
        if self.descriptor >= 0:
            os.ftruncate(self.descriptor, 0)
            return self.descriptor
        try:
            self._create()
        except OSError:
            self.discard()
            with translate_os_errors(self._target):
                raise
        except BaseException:
            self.discard()
            raise
        return self.descriptor

    def commit(self) -> None:
        """Renames the temporary file to the target."""
        try:
            self._check_unchanged()
            os.replace(
                self._place(self._name),
                self._place(self._base),
                src_dir_fd=self._parent,
                dst_dir_fd=self._parent,
            )
        except OSError:
            with translate_os_errors(self._target):
                raise
        _SPARE_NUMBERS.append(self._number)
        self._name = ""
        self.discard()

    def discard(self) -> None:
        """Removes the temporary file, if there is one."""
        self._close()
        if self._name:
            with contextlib.suppress(OSError):
                os.unlink(self._place(self._name), dir_fd=self._parent)
            self._name = ""
        if self._parent is not None:
            os.close(self._parent)
            self._parent = None

    def replace_by(self, other: NewFile) -> None:
        """Takes over the temporary file of ``other``."""
        self.discard()
        self.descriptor, self._name, self._number, self._parent = (
            other.descriptor,
            other._name,
            other._number,
            other._parent,
        )
        other.descriptor, other._name, other._parent = -1, "", None

    @property
    def _base(self) -> str:
        return os.path.basename(self._target)

    def _place(self, name: str) -> str:
        return name if self._parent is not None else f"{self._above}/{name}"

    def _create(self) -> None:
        above, folder = self._above, self._folder
        token = folder.token if folder is not None else _PROCESS_TOKEN
        if folder is not None and above != folder.path:
            self._parent = _open_below(folder.path, above)
        made = False
        for _ in range(_MAX_CLASHES):
            number = _SPARE_NUMBERS.pop() if _SPARE_NUMBERS else secrets.token_hex(8)
            name = f"{_TEMPORARY}{token}{_FORKED}-{number}"
            try:
                self.descriptor = os.open(
                    self._place(name), _NEW_FILE, self._mode, dir_fd=self._parent
                )
            except FileExistsError:  # somebody put it there: this number is not used again
                continue
            except FileNotFoundError:
                if self._parent is not None or made:
                    raise
                os.makedirs(
                    above, exist_ok=True
                )  # most folders are there, so it is made when it turns out to be missing
                made = True  # perhaps by another thread
                continue
            self._name, self._number = name, number
            if self._mode == PRIVATE:
                os.fchmod(self.descriptor, PRIVATE)
            return
        raise FileExistsError(
            errno.EEXIST, "temporary names are taken as fast as they are chosen", self._target
        )

    def _check_unchanged(self) -> None:
        """Raises LocalFileFailed where the temporary file was replaced by another one."""
        ours = os.fstat(self.descriptor)
        self._close()
        there = os.stat(self._place(self._name), dir_fd=self._parent, follow_symlinks=False)
        if (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev):
            raise file_replaced_error(self._target)

    def _close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


def file_replaced_error(path: object) -> LocalFileFailed:
    """Returns the error for a temporary file that was replaced while it was written."""
    hint = "write to a folder that nobody else may write to"
    return LocalFileFailed(
        f"{path}: its temporary file was replaced while it was written",
        hint=hint,
        type="FileReplaced",
    )


def _open_below(folder: str, path: str) -> int:
    """Returns a descriptor of a folder below ``folder``; creates missing folders.

    Raises OSError, and UnsafeKey if a part of the path below ``folder`` is a link.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(folder, _FOLDER)
    for part in path[len(folder) :].split(os.sep):
        if part:
            above = descriptor
            try:
                descriptor = _open_inner(above, part, path)
            finally:
                os.close(above)
    return descriptor


def _open_inner(above: int, part: str, path: str) -> int:
    try:
        return os.open(part, _FOLDER | _NO_FOLLOW, dir_fd=above)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=above)
        return os.open(part, _FOLDER | _NO_FOLLOW, dir_fd=above)
    except OSError:
        if stat.S_ISLNK(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode):
            raise UnsafeKey(
                f"{path} leads through the link '{part}', out of the target folder"
            ) from None
        raise


def remove_file_below(folder: str, path: str) -> None:
    """Deletes a file below a folder, if it exists. Raises LocalFileFailed.

    Raises UnsafeKey if its folder was replaced by a link.
    """
    with translate_os_errors(path):
        above = _open_below(folder, os.path.dirname(path))
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.basename(path), dir_fd=above)
        finally:
            os.close(above)


@contextlib.contextmanager
def create_atomically(
    path: Path, folder: Optional[TargetFolder] = None, *, mode: int = 0o666
) -> Iterator[NewFile]:
    """Opens a new file that appears as ``path`` if the block succeeds, and else is removed."""
    file = NewFile(path, folder, mode)
    try:
        with translate_os_errors(path):
            file.open()
            yield file
        file.commit()
    finally:
        file.discard()


def remove_temporaries(folder: str, token: str, forked: int) -> None:
    """Deletes temporary files that the forked process ``forked``, now dead, left in a folder."""
    _remove_temporaries(folder, f"{_TEMPORARY}{token}.{forked}-")


def remove_temporaries_below(folder: str, token: str) -> None:
    """Deletes all temporary files with this token below a folder."""
    for place, _, names in os.walk(folder):
        if any(name.startswith(_TEMPORARY) for name in names):
            _remove_temporaries(place, f"{_TEMPORARY}{token}")


def _remove_temporaries(folder: str, prefix: str) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and TEMPORARY_NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Writes a small file atomically: readers see all of it or none. Raises LocalFileFailed.

    With ``private``, only the owner may read it. A device or a pipe is written to directly.
    """
    path = path.absolute()
    if _is_stream(path):
        _write_stream(path, data)
        return
    mode = PRIVATE if private else 0o666
    with (
        create_atomically(path, mode=mode) as file,
        open(file.descriptor, "wb", closefd=False) as stream,
    ):
        stream.write(data)


def copy_file(source: Path, target: Path) -> None:
    """Copies a file atomically; only the owner may read the copy. Raises LocalFileFailed."""
    with (
        translate_os_errors(source),
        source.open("rb") as read,
        create_atomically(target, mode=PRIVATE) as file,
        open(file.descriptor, "wb", closefd=False) as written,
    ):
        shutil.copyfileobj(read, written)


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _write_stream(path: Path, data: bytes) -> None:
    with translate_os_errors(path):
        descriptor = os.open(
            path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)
        )  # a pipe that nobody reads is an error, and does not block
        os.set_blocking(descriptor, True)
        with open(descriptor, "wb") as stream:
            stream.write(data)


def is_case_insensitive(folder: Path) -> bool:
    """Returns True if file names that differ only in case are the same file.

    Checks the nearest existing folder.
    """
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    with translate_os_errors(there):
        probe = there / f"{_TEMPORARY}{secrets.token_hex(8)}a"
        os.close(os.open(probe, _NEW_FILE, PRIVATE))
        try:
            return probe.with_name(probe.name.upper()).exists()
        finally:
            probe.unlink()


def count_free_bytes(folder: Path) -> int:
    """Returns the free bytes of the file system of a folder, which need not exist yet."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    with translate_os_errors(there):
        return shutil.disk_usage(there).free
