"""The private folder of a run, and the removal of what ended or killed runs leave on disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.new_files import TargetFolder, remove_temporaries_below
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.model import RunResult

_PREFIX = "rolerunner-run-"
_LOCK = ".lock"
"""Locked while a process of the run lives; removed when the run ends."""
_TARGETS = ".targets"
"""One JSON line for each folder that a step writes to: its path and token."""
_PATH = re.compile(r"/[^\s'\"]+")
_KEPT_SECONDS = 7 * 86_400
_SCANNED = 10_000
"""Entries of the temporary folder that are checked for earlier runs."""


class Workspace:
    """A folder that only this user can read. Raises UsageError if it cannot be created.

    It is locked while the run lives. A folder without a lock holder belongs to a run that was
    killed; the user's next run removes it, with the temporary files of its downloads.
    """

    def __init__(self, run_id: str) -> None:
        try:
            _remove_dead_runs(tempfile.gettempdir())
            self.path = Path(
                tempfile.mkdtemp(prefix=f"{_PREFIX}{re.sub('[^A-Za-z0-9-]', '-', run_id)[:64]}-")
            )
            self._lock = _lock_folder(self.path)
        except OSError as error:
            message = f"cannot create a folder for temporary files: {error}"
            raise UsageError(f"{message}; set TMPDIR to a writable folder") from None
        self._targets: set[TargetFolder] = set()
        self.result: Optional[RunResult] = None
        """The result of the run, once it has ended."""

    @contextlib.contextmanager
    def target_folder(self, path: Path) -> Iterator[TargetFolder]:
        """Yields a folder to download to.

        Its temporary files are removed with the run, also those of abandoned attempts.
        """
        target = TargetFolder.at(path)
        self._targets.add(target)
        with (self.path / _TARGETS).open("a", encoding="ascii") as lines:
            lines.write(json.dumps([target.path, target.token]) + "\n")
        yield target
        self._targets.discard(
            target
        )  # not where the block failed: a thread of it may be writing still

    def close(self) -> None:
        """Removes temporary files, and the folder except for files that the result names."""
        for target in self._targets:
            with contextlib.suppress(
                UnicodeEncodeError
            ):  # no file is there where the file system's encoding has no such name
                remove_temporaries_below(target.path, target.token)
        with contextlib.suppress(OSError):
            (self.path / _LOCK).unlink()
            (self.path / _TARGETS).unlink()
        kept = (
            set(_list_named_paths(self.result, str(self.path)))
            if self.result is not None
            else set()
        )
        if str(self.path) not in kept:
            _remove_others(str(self.path), kept)
        os.close(self._lock)


def _lock_folder(folder: Path) -> int:
    """Returns a descriptor that holds the folder's lock.

    The lock is taken before the file gets its name, so no other process finds it free. A folder
    that cannot be locked is removed.
    """
    new_lock = folder / f"{_LOCK}.new"
    try:
        descriptor = os.open(new_lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        new_lock.rename(folder / _LOCK)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return descriptor


def _list_named_paths(result: RunResult, folder: str) -> Iterator[str]:
    """Yields the paths that a result names, among them those below ``folder``."""
    for step in (*result.steps, *result.action_steps):
        for text in _walk_texts(step.outputs):
            yield from [text.rstrip("/")] if text.startswith(folder) else _PATH.findall(text)
        if step.error is not None:
            yield from _PATH.findall(f"{step.error.message}\n{step.error.hint}")


def _walk_texts(value: Any) -> Iterator[str]:
    """Yields all texts in a value, and the paths of its lists of objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _walk_texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _walk_texts(each)
    elif isinstance(path := getattr(value, "path", None), Path):
        yield str(path)
    elif isinstance(value, Path):
        yield str(value)


def _remove_others(folder: str, kept: set[str]) -> None:
    """Removes all but the kept paths and what is below them."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.path in kept:
                continue
            if entry.is_dir(follow_symlinks=False):
                _remove_others(entry.path, kept)
            else:
                os.unlink(entry.path)
    with contextlib.suppress(OSError):  # something in it is kept
        os.rmdir(folder)


def _remove_dead_runs(temporary: str) -> None:
    """Removes folders of this user's runs that were killed, or ended a week ago."""
    with contextlib.suppress(OSError), os.scandir(temporary) as entries:
        for _, entry in zip(range(_SCANNED), entries):
            if entry.name.startswith(_PREFIX):
                with contextlib.suppress(OSError):
                    _remove_run(entry.path)


def _remove_run(folder: str) -> None:
    status = os.lstat(folder)
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.geteuid()
        or stat.S_IMODE(status.st_mode) & 0o077
    ):
        return
    try:
        lock = os.open(f"{folder}/{_LOCK}", os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if time.time() - status.st_mtime > _KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path, token in _read_targets(f"{folder}/{_TARGETS}"):
            remove_temporaries_below(path, token)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return  # it lives
    finally:
        os.close(lock)


def _read_targets(path: str) -> Iterable[tuple[str, str]]:
    """Yields the folders and tokens that a run recorded; its last line may be cut off."""
    try:
        lines = Path(path).read_text("ascii").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            folder, token = json.loads(line)
            if re.fullmatch("[0-9a-f]{16}", token):
                yield folder, token
