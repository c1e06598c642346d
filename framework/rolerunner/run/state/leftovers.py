"""Records the files that a step left on this machine, and compares them in a resumed run."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from rolerunner.actions.base import InputPath, MirroredFolder
from rolerunner.common.file_errors import translate_os_errors
from rolerunner.errors import StepError
from rolerunner.selection.source_files import walk_folder

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel

MOST_BELOW = 100_000
"""Files recorded below a folder that a function names; a larger folder only has to exist."""
_AT_ONCE = 1_000


def write_left(
    paths: Iterable[Union[str, MirroredFolder, InputPath]], file: Path, cancel: Cancel
) -> int:
    """Writes a JSON line for each path and returns their number. Raises StepError.

    A line holds size and times of a file; a folder has one for each file below it.
    """
    count = 0
    with translate_os_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="ascii") as lines:
            for line in _describe_paths(paths):
                lines.write(json.dumps(line) + "\n")
                count += 1
                if count % _AT_ONCE == 0:
                    cancel.stop_if_set()
    return count


def find_change(file: Path, cancel: Cancel) -> str:
    """Returns what differs from the lines of ``write_left``; empty if nothing does.

    Raises StepError.
    """
    with translate_os_errors(file), file.open(encoding="ascii") as lines:
        for number, line in enumerate(lines):
            if number % _AT_ONCE == 0:
                cancel.stop_if_set()
            try:
                change = _find_path_change(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                return "the list of what it left cannot be read"
            if change:
                return change
    return ""


def _describe_paths(
    paths: Iterable[Union[str, MirroredFolder, InputPath]],
) -> Iterator[dict[str, Any]]:
    for path in paths:
        if isinstance(path, MirroredFolder):
            yield {"path": path.folder, "files": _count_below(path.folder)}
        elif isinstance(path, InputPath):
            yield {"path": os.path.abspath(path.path)}  # noqa: PTH100
        elif os.path.isdir(path):  # noqa: PTH112 - of each of a million
            yield from _describe_folder(path)
        else:
            yield _described_file(path)


def _described_file(path: str) -> dict[str, Any]:
    try:
        found = os.stat(path)  # noqa: PTH116 - of each of a million
    except OSError:
        return {"path": os.path.abspath(path), "gone": True}  # noqa: PTH100
    return {
        "path": os.path.abspath(path),  # noqa: PTH100
        "size": found.st_size,
        "mtime": found.st_mtime_ns,
        "ctime": found.st_ctime_ns,
    }


def _describe_folder(folder: str) -> Iterator[dict[str, Any]]:
    """Yields the folder, and its files if they are few and the folder is not shared."""
    yield {"path": os.path.abspath(folder)}  # noqa: PTH100
    if _is_shared(folder):
        return
    try:
        files = [file.path for file in islice(walk_folder(folder, links="skip"), MOST_BELOW + 1)]
    except StepError:  # a part of it cannot be read
        return
    if len(files) <= MOST_BELOW:
        yield from map(_described_file, files)


def _is_shared(folder: str) -> bool:
    real = os.path.realpath(folder)
    shared = (os.path.expanduser("~"), tempfile.gettempdir(), os.curdir)  # noqa: PTH111
    return any(os.path.commonpath([real, each]) == real for each in map(os.path.realpath, shared))


def _count_below(folder: str) -> int:
    return sum(1 for _ in walk_folder(folder, links="skip")) if Path(folder).is_dir() else 0


def _find_path_change(was: dict[str, Any]) -> str:
    path = was["path"]
    if "files" in was:
        return (
            ""
            if _count_below(path) <= was["files"]
            else f"there are more files below {path} than it left"
        )
    if "size" not in was:
        return "" if not was.get("gone") and os.path.exists(path) else f"{path} is gone"  # noqa: PTH110
    now = _described_file(path)
    if "size" not in now:
        return f"{path} is gone"
    return "" if now == was else f"{path} changed"
