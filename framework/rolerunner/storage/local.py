"""Local files: paths that cannot leave their folder, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Union

from rolerunner.errors import LocalFileFailed, UnsafeKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TEMPORARY = ".rolerunner-"
_OWN = secrets.token_hex(6)
_NUMBERS = count()
_SPARE_NAMES: list[str] = []


def _name_anew() -> None:
    """In a process that was forked: its names are not the other's, which can tell them."""
    global _OWN  # noqa: PLW0603
    _OWN = f"{_OWN}.{os.getpid()}"
    _SPARE_NAMES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_name_anew)
MAX_NAME = 255
"""Bytes of a file name on the usual file systems (NAME_MAX)."""
_UNSAFE = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
"""Where a key may be no file: an empty part, ``.`` or ``..``, a NUL."""
_HINTS = {
    errno.ENOSPC: "the disk is full: Glue Python Shell has some 14 GB free in /tmp, Spark workers 94 GB",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "the folder or file is not writable for this user",
    errno.EROFS: "the file system is read-only; in Glue write below /tmp",
    errno.ENAMETOOLONG: "a file name has at most 255 bytes on most file systems",
    errno.ENOTDIR: "a file stands where a folder must be",
    errno.EISDIR: "a folder stands where the file must be",
}


def folder_of(text: str) -> Path:
    """A path as the spec writes it, absolute, links at its top left alone."""
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 - Path.resolve would follow links


def path_under(folder: Path, relative: str) -> str:
    """The file of an object's relative key below ``folder``. Raises UnsafeKey for one that would leave it."""
    if _UNSAFE.search(relative) or len(relative) > MAX_NAME or not relative.isascii() or os.sep != "/":
        _check_parts(folder, relative)
    above = str(folder)
    path = f"{above}{'' if above.endswith(os.sep) else os.sep}{relative.replace('/', os.sep)}"
    if "/" in relative:
        _check_parents(folder, path, relative)
    return path


def _check_parts(folder: Path, relative: str) -> None:
    parts = relative.split("/")
    problem = ""
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
        if os.path.islink(parent):  # noqa: PTH114 - of each of a million files
            raise UnsafeKey(f"the key '{relative}' leads through the link {parent}, out of {folder}")


@contextlib.contextmanager
def translated(path: Union[Path, str]) -> Iterator[None]:
    """Turn the operating system's refusals into LocalFileFailed, with what to do."""
    try:
        yield
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "OSError")
        kind = "DiskFull" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "LocalFileFailed"
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise LocalFileFailed(f"{path}: {reason}", hint=_HINTS.get(error.errno or 0, code), type=kind) from error


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; it becomes ``path`` when the block ends well, and is gone when it does not."""
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{_TEMPORARY}{secrets.token_hex(6)}"
        try:
            yield temporary
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder stands there", str(path))
            temporary.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()


def temporary_beside(path: str) -> str:
    """A name that no other file has, in the folder where ``path`` will be; ``done_with`` gives it back.

    Names are used again: a folder takes a new name for each of many files in twice the time.
    """
    name = _SPARE_NAMES.pop() if _SPARE_NAMES else f"{_TEMPORARY}{_OWN}-{next(_NUMBERS):x}"
    return f"{path[: path.rfind(os.sep)]}/{name}"


def done_with(temporary: str) -> None:
    """No file has the name any more."""
    _SPARE_NAMES.append(temporary.rpartition("/")[2])


def sweep(folders: Iterable[Path], forked: int) -> None:
    """Delete what a process that was forked from this one, and died, has left in these folders under temporary names."""
    for folder in folders:
        for path in folder.glob(f"{_TEMPORARY}{_OWN}.{forked}-*"):
            with contextlib.suppress(OSError):
                path.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all. Raises LocalFileFailed."""
    with appearing(path) as temporary, temporary.open("wb") as file:
        file.write(data)


def files_below(folder: Path, *, links: str = "follow") -> Iterator[tuple[str, str]]:
    """Every file below a folder: its path relative to it, ``/`` between parts, and its path; in the order S3 lists keys.

    ``links``: follow, skip or error. Raises LocalFileFailed, also for a link that leads back to a folder it lies in.
    """
    yield from _below(str(folder), "", links, (os.path.realpath(folder),))


def _below(folder: str, base: str, links: str, inside: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    with translated(folder):
        entries = [(entry, _is_folder(entry)) for entry in os.scandir(folder)]
    # a folder's keys have a '/' after its name, and keys are in the order of their bytes
    entries.sort(key=lambda each: os.fsencode(each[0].name) + (b"/" if each[1] else b""))
    for entry, is_folder in entries:
        if entry.name.startswith(_TEMPORARY) or not _wanted(entry, links):
            continue
        path = entry.path
        if is_folder:
            real = os.path.realpath(path)
            if real in inside:
                raise LocalFileFailed(f"{path}: the link leads back to a folder that it lies in", hint="say 'symlinks: skip'")
            yield from _below(path, f"{base}{entry.name}/", links, (*inside, real))
        elif entry.is_file():
            yield base + entry.name, path
        elif entry.is_symlink():
            raise LocalFileFailed(f"{path}: the link leads nowhere", hint="say 'symlinks: skip'")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=True)


def _wanted(entry: os.DirEntry[str], links: str) -> bool:
    if not entry.is_symlink() or links == "follow":
        return True
    if links == "error":
        raise LocalFileFailed(f"{entry.path}: is a link", hint="say 'symlinks: follow' or 'symlinks: skip'")
    return False


def folds_case(folder: Path) -> bool:
    """Are two names that differ in case alone one file there? Asked of the nearest folder that exists."""
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    with translated(there):
        probe = there / f"{_TEMPORARY}{secrets.token_hex(6)}a"
        probe.touch()
        try:
            return probe.with_name(probe.name.upper()).exists()
        finally:
            probe.unlink()


def free_bytes(folder: Path) -> int:
    """Bytes that files below a folder, which may not exist yet, may still take."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    with translated(there):
        return shutil.disk_usage(there).free
