"""Finds the files of an upload: those of a folder, of a glob or of a list."""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple, Optional

from rolerunner.common.external_sort import sort_values
from rolerunner.common.file_errors import not_regular_file_error, translate_os_errors
from rolerunner.common.file_paths import expand_path
from rolerunner.common.new_files import TEMPORARY_NAME
from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.selection.filters import compile_globs, expand_braces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Choice = Callable[[str, bool], bool]
    """Whether a relative path is read or, if it is a folder, entered."""

_NAMED = 3
"""Paths that a note about what was left out names."""
_SKIP_HINT = "set 'symlinks: skip', or remove the link"
_FILE, _OTHER, _FOLDER, _LINKED_FOLDER = b"\0f", b"\0o", b"/f", b"/l"
"""Kinds of entries, at the end of their names: a folder's keys have a '/' after its name."""
_KIND_LENGTH = 2
_NAME_CODEC = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
_ALTERNATIVES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")


class SourceFile(NamedTuple):
    """A file of a source: its path relative to the source, with ``/`` between parts, and its path.

    ``problem`` says why it cannot be read; it is one file's failure.
    """

    relative: str
    path: str
    problem: Optional[StepError] = None


class SkippedFiles:
    """Counts files that an upload skips, and keeps the first paths for a note."""

    def __init__(self) -> None:
        self.count = 0
        self._first: dict[str, list[str]] = {}

    def add(self, reason: str, path: str) -> None:
        """Adds a path."""
        self.count += 1
        paths = self._first.setdefault(reason, [])
        if len(paths) < _NAMED:
            paths.append(path)

    def __str__(self) -> str:
        reasons = (f"{reason}: {', '.join(paths)}" for reason, paths in self._first.items())
        more = "" if self.count <= _NAMED else ", ..."
        return f"{self.count:,} left out ({'; '.join(reasons)}{more})"


class _Walk(NamedTuple):
    """Settings of a walk through folders. ``marker`` names a file whose folder is left out."""

    links: str
    left_out: Optional[SkippedFiles]
    marker: str = ""
    choice: Optional[Choice] = None


def find_source_files(
    sources: Iterable[str],
    *,
    links: str = "follow",
    left_out: Optional[SkippedFiles] = None,
    marker: str = "",
) -> Iterator[SourceFile]:
    """Yields the files of ``sources``: files, folders and globs.

    Folders that hold a file of the name ``marker`` are left out, with all below them.

    ``links`` is follow, skip or error. A source itself may be a link to a folder; every other link
    is treated as ``links`` says.
    Raises LocalFileFailed for a link where links are errors, and for a folder that cannot be read.
    """
    walk = _Walk(links, left_out, marker)
    for source in sources:
        root = expand_path(source)
        if root.is_dir():
            yield from _walk_root(str(root), walk)
        elif os.path.lexists(root) or not (glob.has_magic(source) or _ALTERNATIVES.search(source)):
            yield from _find_named_file(str(root), links, left_out)
        else:
            yield from _find_matches(str(root), walk)


def walk_folder(
    folder: str, *, links: str = "follow", left_out: Optional[SkippedFiles] = None
) -> Iterator[SourceFile]:
    """Yields every file below a folder, in the order in which S3 lists keys.

    Raises LocalFileFailed like ``find_source_files``.
    """
    return _walk_root(folder, _Walk(links, left_out))


def _walk_root(folder: str, walk: _Walk) -> Iterator[SourceFile]:
    with translate_os_errors(folder):
        os.scandir(folder).close()
    yield from _walk_below(folder, "", walk, (os.path.realpath(folder),))


def _walk_below(
    folder: str, base: str, walk: _Walk, inside: tuple[str, ...]
) -> Iterator[SourceFile]:
    try:
        if walk.marker and os.path.lexists(f"{folder}{os.sep}{walk.marker}"):
            return
        with os.scandir(folder) as scanned:
            entries = sort_values(_describe_entries(scanned, base, walk))
    except OSError as error:
        yield SourceFile(base.rstrip("/"), folder, _unreadable_error(folder, error))
        return
    above = folder if folder.endswith(os.sep) else f"{folder}{os.sep}"
    for entry in entries:
        name, kind = entry[:-_KIND_LENGTH].decode(*_NAME_CODEC), entry[-_KIND_LENGTH:]
        if kind == _FILE:
            yield SourceFile(base + name, above + name)
            continue
        path = above + name
        if kind == _OTHER:
            yield SourceFile(base + name, path, find_problem(path))
            continue
        real = os.path.realpath(path) if kind == _LINKED_FOLDER else f"{inside[-1]}{os.sep}{name}"
        if real in inside:
            yield SourceFile(base + name, path, _link_loop_error(path))
        else:
            below = f"{base}{name}/"
            yield from _walk_below(path, below, walk, (*inside, real))


def _describe_entries(
    scanned: Iterable[os.DirEntry[str]], base: str, walk: _Walk
) -> Iterator[bytes]:
    """Yields name and kind of each entry, in bytes whose order is that of the keys."""
    choice = walk.choice
    for entry in scanned:
        is_folder = _is_folder(entry)
        if (choice is None or choice(base + entry.name, is_folder)) and _is_wanted(entry, walk):
            if is_folder:
                kind = _LINKED_FOLDER if entry.is_symlink() else _FOLDER
            else:
                kind = _FILE if _is_file(entry) else _OTHER
            yield entry.name.encode(*_NAME_CODEC) + kind


def _is_wanted(entry: os.DirEntry[str], walk: _Walk) -> bool:
    links, left_out = walk.links, walk.left_out
    if links != "follow" and entry.is_symlink():
        return _is_link_wanted(entry.path, links, left_out)
    if entry.name.startswith(".rolerunner-") and TEMPORARY_NAME.fullmatch(entry.name):
        if left_out is not None:
            left_out.add("temporary files of a download", entry.path)
        return False
    return True


def _is_link_wanted(path: str, links: str, left_out: Optional[SkippedFiles]) -> bool:
    """Records a link that is not followed. Raises LocalFileFailed if links are errors."""
    if links == "error":
        raise LocalFileFailed(
            f"{path}: is a link, and 'symlinks' is 'error'",
            hint="set 'symlinks: follow' or 'symlinks: skip'",
        )
    if left_out is not None:
        left_out.add("links", path)
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _find_named_file(
    path: str, links: str, left_out: Optional[SkippedFiles]
) -> Iterator[SourceFile]:
    """Yields a file that the spec names."""
    if links == "follow" or not os.path.islink(path) or _is_link_wanted(path, links, left_out):
        yield SourceFile(os.path.basename(path), path, find_problem(path))


def _find_matches(pattern: str, walk: _Walk) -> Iterator[SourceFile]:
    """Returns the files that a glob matches, each with its name alone as its relative path.

    A glob means what ``include`` means below the folder before its first wildcard, so that it
    matches files alone. Folders that it matches besides are counted in ``left_out``.
    """
    parts = pattern.split(os.sep)
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part) or "{" in part)
    base = os.sep.join(parts[:first]) or os.sep
    if not os.path.isdir(base):
        return
    files, folders = _glob_below("/".join(parts[first:]))
    left_out = walk.left_out

    def choice(relative: str, is_folder: bool) -> bool:
        if not is_folder:
            return bool(files.match(relative))
        if folders.match(relative):
            return True
        if left_out is not None and files.match(relative):
            left_out.add("folders", os.path.join(base, relative))
        return False

    chosen = walk._replace(choice=choice)
    for file in _walk_below(base, "", chosen, (os.path.realpath(base),)):
        yield file._replace(relative=os.path.basename(file.path))


def _glob_below(pattern: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Returns regular expressions for the files that a glob matches and for their folders.

    Raises LocalFileFailed.
    """
    try:
        files = compile_globs([pattern])
    except ValueError as error:
        raise LocalFileFailed(f"the glob '{pattern}' {error}") from None
    folders = [
        "/".join(above)
        for each in expand_braces([pattern])
        for above in _folders_of(each.split("/"))
    ]
    return files, compile_globs(folders) if folders else re.compile(r"(?!)")


def _folders_of(parts: list[str]) -> Iterator[list[str]]:
    for number, part in enumerate(parts, 1):
        if part == "**":
            yield parts[:number]
            return
        if number < len(parts):
            yield parts[:number]


def find_problem(path: str) -> Optional[StepError]:
    """Returns why a path cannot be read as a file; None for a regular file."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno == errno.ENOENT and os.path.islink(path):
            return LocalFileFailed(f"{path}: the link leads nowhere", hint=_SKIP_HINT)
        if error.errno == errno.ELOOP:
            return _link_loop_error(path)
        return _unreadable_error(path, error)
    return None if stat.S_ISREG(status.st_mode) else not_regular_file_error(path, status.st_mode)


def _link_loop_error(path: str) -> StepError:
    return LocalFileFailed(
        f"{path}: the link leads back to itself or to a folder that contains it", hint=_SKIP_HINT
    )


def _unreadable_error(path: str, error: OSError) -> StepError:
    try:
        with translate_os_errors(path):
            raise error
    except StepError as failure:
        return failure
