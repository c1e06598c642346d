"""The names of a step's objects, worked out once for all passes over them."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Optional

from rolerunner.common.file_errors import translate_os_errors

if TYPE_CHECKING:
    from rolerunner.actions.object_names import ObjectNamer

NameOf = Callable[[str, str, int, str, int], str]
"""Returns the name of an object, as ObjectNamer.name does."""
_BUFFER = 1 << 16
"""Bytes per read or write."""


class NameStore:
    """Keeps the names of the first pass over a step's objects on disk for those that follow.

    So each is worked out once, and the name that was compared with all others is the one that is
    used, even if the time of a file changes in between. A name and its object's relative key take
    their own length on disk, and no memory.
    """

    def __init__(self, namer: ObjectNamer) -> None:
        self._namer = namer
        self._file: Optional[IO[str]] = None
        self._passes = 0

    def begin_pass(self) -> NameOf:
        """Returns ``ObjectNamer.name`` for a pass, whose objects come in the order of the first.

        An earlier pass that goes on works out its names. Raises LocalFileFailed.
        """
        if not self._namer.renames:
            return self._namer.name
        self._passes += 1
        with translate_os_errors(tempfile.gettempdir()):
            if self._file is not None:
                self._file.seek(0)
                return self._recall_names(self._file, self._passes)
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - read by later passes
                "w+", _BUFFER, encoding="utf-8", errors="surrogatepass", newline="\n"
            )
        weakref.finalize(self, self._file.close)
        return self._record_names(self._file, self._passes)

    def _record_names(self, file: IO[str], number_of_pass: int) -> NameOf:
        work_out, write = self._namer.name, file.write

        def name(key: str, relative: str, size: int, modified: str, number: int) -> str:
            line = "\n"  # an object that has no name has its line too
            try:
                found = work_out(key, relative, size, modified, number)
                if "\n" not in found and "\n" not in relative:
                    line = f"{relative}\0{found}\n"
                return found
            finally:
                if self._passes == number_of_pass:
                    _write(write, line)

        return name

    def _recall_names(self, file: IO[str], number_of_pass: int) -> NameOf:
        work_out, read = self._namer.name, file.readline

        def name(key: str, relative: str, size: int, modified: str, number: int) -> str:
            if self._passes == number_of_pass:
                origin, _, found = read().rstrip("\n").partition("\0")
                if found and origin == relative:
                    return found
            return work_out(key, relative, size, modified, number)

        return name


def _write(write: Callable[[str], int], line: str) -> None:
    try:
        write(line)
    except OSError:
        with translate_os_errors(tempfile.gettempdir()):
            raise
