"""Sorts any number of values in bounded memory, through one temporary file."""

from __future__ import annotations

import heapq
import marshal
import tempfile
import weakref
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Optional, TypeVar

from rolerunner.common.file_errors import translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
SORTED_AT_ONCE = 50_000
"""Values that are sorted in memory at a time: 30 MB of objects, 5 MB of names."""
_BLOCK = 250
"""Values of a run that are read back together."""
_LENGTH = 4
"""Bytes before a block that hold its length."""


def sort_values(
    values: Iterable[T], by: Optional[Callable[[T], Any]] = None, *, descending: bool = False
) -> Iterator[T]:
    """Returns the values sorted by a key. All are read before it returns.

    Many are kept in a temporary file, so they consist of what marshal writes: text, bytes, numbers,
    lists, tuples and dicts. Raises LocalFileFailed, and what reading the values raises.
    """
    rest = iter(values)
    key: Any = by

    def sort_next() -> list[T]:
        return sorted(islice(rest, SORTED_AT_ONCE), key=key, reverse=descending)

    first = sort_next()
    if len(first) < SORTED_AT_ONCE:
        return iter(first)
    runs = _Runs()
    while first:
        runs.add(first)
        first = sort_next()
    return heapq.merge(*runs.read(), key=key, reverse=descending)


class _Runs:
    """Sorted runs of values, one after the other in a file that is deleted with this object."""

    def __init__(self) -> None:
        self._bounds = [0]
        with translate_os_errors(tempfile.gettempdir()):
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read until the end
        weakref.finalize(self, self._file.close)

    def add(self, values: list[Any]) -> None:
        """Adds a run. Raises LocalFileFailed."""
        with translate_os_errors(tempfile.gettempdir()):
            for start in range(0, len(values), _BLOCK):
                block = marshal.dumps(values[start : start + _BLOCK])
                self._file.write(len(block).to_bytes(_LENGTH, "big"))
                self._file.write(block)
            self._bounds.append(self._file.tell())

    def read(self) -> list[Iterator[Any]]:
        """Returns an iterator over the values of each run."""
        return [self._read_run(*bounds) for bounds in zip(self._bounds, self._bounds[1:])]

    def _read_run(self, start: int, end: int) -> Iterator[Any]:
        while start < end:
            block, start = self._read_block(start)
            yield from block

    def _read_block(self, start: int) -> tuple[list[Any], int]:
        with translate_os_errors(tempfile.gettempdir()):
            self._file.seek(start)
            length = int.from_bytes(self._file.read(_LENGTH), "big")
            data = self._file.read(length)
        return marshal.loads(data), start + _LENGTH + length  # noqa: S302 - this process wrote it
