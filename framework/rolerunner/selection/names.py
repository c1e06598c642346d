"""Names and timestamps in the forms in which many of them are compared."""

import hashlib
import unicodedata
from array import array
from bisect import bisect_left
from datetime import datetime, timezone

_PARTITIONS = 256
"""A partition is sorted at the first look-up: 4,000 digests of a million."""


def format_timestamp(moment: datetime) -> str:
    """Returns the moment in the format of S3."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_mtime(mtime: float) -> str:
    """Returns a file's modification time in the format of S3."""
    return format_timestamp(datetime.fromtimestamp(mtime, timezone.utc))


def name_digest(name: str) -> bytes:
    """Returns eight bytes for a name, so that a million fit into memory.

    Two names with one digest keep a file that could be deleted, never the reverse.
    """
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def fold_name(name: str) -> str:
    """Returns the same text for all names that are one file on a case-folding disk."""
    return unicodedata.normalize("NFC", name.casefold())


class NameSet:
    """Digests of names, 8 MB for a million, none of which is removed.

    With ``folds``, names that differ only in case are one.
    """

    def __init__(self, *, folds: bool = False) -> None:
        self.folds = folds
        self._partitions = [array("Q") for _ in range(_PARTITIONS)]
        self._unsorted: set[int] = set()

    def add(self, name: str) -> None:
        """Adds a name."""
        number = self._number_of(name)
        self._partitions[number % _PARTITIONS].append(number)
        self._unsorted.add(number % _PARTITIONS)

    def __contains__(self, name: str) -> bool:
        number = self._number_of(name)
        index = number % _PARTITIONS
        if index in self._unsorted:
            self._partitions[index] = array("Q", sorted(self._partitions[index]))
            self._unsorted.remove(index)
        partition = self._partitions[index]
        place = bisect_left(partition, number)
        return place < len(partition) and partition[place] == number

    def __bool__(self) -> bool:
        return any(self._partitions)

    def _number_of(self, name: str) -> int:
        return int.from_bytes(name_digest(fold_name(name) if self.folds else name), "big")
