"""Finds repeated names among many in bounded memory."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import IO, Optional

from rolerunner.common.file_errors import translate_os_errors

_PARTITIONS = 256
"""A power of two; of ten million names a partition has 40,000, compared in 6 MB."""
_HELD = 3 * 1024
"""Numbers of a partition in memory, 6 MB for all partitions; the others are on disk."""
_SALT = "\0"


def find_repeated(names: Iterable[str]) -> Optional[bytearray]:
    """Returns a bitmap of the names that occurred before, by their number from 0; None if none.

    Names are compared by two hashes of 64 bits. Raises LocalFileFailed.
    """
    with closing(_HashedNames()) as hashed:
        for name in names:
            hashed.add(name)
        bitmap = bytearray((hashed.count + 7) // 8)
        repeated = False
        for number in hashed.iter_repeated():
            bitmap[number >> 3] |= 1 << (number & 7)
            repeated = True
    return bitmap if repeated else None


def is_marked(bitmap: bytearray, number: int) -> bool:
    """Returns True if the bitmap has the number."""
    return bool(bitmap[number >> 3] & (1 << (number & 7)))


class _HashedNames:
    """Hashes of names with their numbers, partitioned, on disk if they do not fit in memory."""

    def __init__(self) -> None:
        self.count = 0
        self._partitions = [array("q") for _ in range(_PARTITIONS)]
        self._stored: dict[int, list[int]] = {}
        """Partition -> where in the file its pieces of _HELD numbers begin."""
        self._file: Optional[IO[bytes]] = None

    def add(self, name: str) -> None:
        first = hash(name)
        partition = self._partitions[first & (_PARTITIONS - 1)]
        partition.extend((first, hash(name + _SALT), self.count))
        self.count += 1
        if len(partition) >= _HELD:
            self._store(first & (_PARTITIONS - 1))

    def iter_repeated(self) -> Iterator[int]:
        """Yields the number of each name that an earlier one equals."""
        for number in range(_PARTITIONS):
            seen: set[tuple[int, int]] = set()
            for piece in self._read_pieces(number):
                values = iter(piece)
                for first, second, position in zip(values, values, values):
                    if (first, second) in seen:
                        yield position
                    seen.add((first, second))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _store(self, number: int) -> None:
        with translate_os_errors(tempfile.gettempdir()):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the hashes
            self._stored.setdefault(number, []).append(self._file.tell())
            self._partitions[number].tofile(self._file)
        del self._partitions[number][:]

    def _read_pieces(self, number: int) -> Iterator[array[int]]:
        for start in self._stored.get(number, ()):
            piece = array("q")
            if self._file is not None:
                self._file.seek(start)
                piece.fromfile(self._file, _HELD)
            yield piece
        yield self._partitions[number]
