"""New files that appear whole or not at all, and their temporary names."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.common.descriptors import NO_FOLLOW, open_below
from rolerunner.common.file_errors import file_replaced_error, translate_os_errors
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPORARY_PREFIX = ".rolerunner-"
TEMPORARY_NAME = re.compile(r"\.rolerunner-[0-9a-f]{16}(?:\.\d+)?-[0-9a-f]{16}")
"""Names of temporary files: a token, the id of a forked process, and a random number."""
_PROCESS_TOKEN = secrets.token_hex(8)
_FORKED = ""
_SPARE_NUMBERS: list[str] = []
_MAX_CLASHES = 1000
CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_FOLLOW
PRIVATE = 0o600
"""File mode of files that only the owner may read."""


def _mark_forked() -> None:
    """Gives temporary files of a forked process names that show its id."""
    global _FORKED  # noqa: PLW0603
    _FORKED = f".{os.getpid()}"
    _SPARE_NUMBERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


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
            self._create_temporary()
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
                self._locate_name(self._name),
                self._locate_name(self._file_name),
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
        self._close_descriptor()
        if self._name:
            with contextlib.suppress(OSError):
                os.unlink(self._locate_name(self._name), dir_fd=self._parent)
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
    def _file_name(self) -> str:
        return os.path.basename(self._target)

    def _locate_name(self, name: str) -> str:
        return name if self._parent is not None else f"{self._above}/{name}"

    def _create_temporary(self) -> None:
        above, folder = self._above, self._folder
        token = folder.token if folder is not None else _PROCESS_TOKEN
        if folder is not None and above != folder.path:
            self._parent = open_below(folder.path, above)
        has_created = False
        for _ in range(_MAX_CLASHES):
            number = _SPARE_NUMBERS.pop() if _SPARE_NUMBERS else secrets.token_hex(8)
            name = f"{TEMPORARY_PREFIX}{token}{_FORKED}-{number}"
            try:
                self.descriptor = os.open(
                    self._locate_name(name), CREATE_FLAGS, self._mode, dir_fd=self._parent
                )
            except FileExistsError:  # somebody put it there: this number is not used again
                continue
            except FileNotFoundError:
                if self._parent is not None or has_created:
                    raise
                # most folders exist, so one is created when it turns out to be missing
                os.makedirs(above, exist_ok=True)
                has_created = True  # unless another thread did
                continue
            self._name, self._number = name, number
            if self._mode == PRIVATE:
                os.fchmod(self.descriptor, PRIVATE)
            return
        raise FileExistsError(errno.EEXIST, "cannot find an unused temporary name", self._target)

    def _check_unchanged(self) -> None:
        """Raises LocalFileFailed where the temporary file was replaced by another one."""
        ours = os.fstat(self.descriptor)
        self._close_descriptor()
        there = os.stat(self._locate_name(self._name), dir_fd=self._parent, follow_symlinks=False)
        if (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev):
            raise file_replaced_error(self._target)

    def _close_descriptor(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


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
    _remove_temporaries(folder, f"{TEMPORARY_PREFIX}{token}.{forked}-")


def remove_temporaries_below(folder: str, token: str) -> None:
    """Deletes all temporary files with this token below a folder."""
    for place, _, names in os.walk(folder):
        if any(name.startswith(TEMPORARY_PREFIX) for name in names):
            _remove_temporaries(place, f"{TEMPORARY_PREFIX}{token}")


def _remove_temporaries(folder: str, prefix: str) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and TEMPORARY_NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
