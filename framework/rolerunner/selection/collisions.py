"""Finds equal names among many in bounded memory."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import IO, Any, Optional

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.lazy_dataclass import dataclass

Names = Callable[[], Iterable[tuple[str, Any]]]
"""Yields each name with its owner, the same ones on each call; a shared name has owner None."""
_PARTITIONS = 256
"""A power of two; with ten million names a partition has 40,000 hashes, compared in 3 MB."""
_HELD = 2048
"""Hashes of a partition in memory, 4 MB for all partitions; the others are on disk."""
_CLAIMED_AT_ONCE = 1000
_EXAMINED = 1000
"""Repeated hashes whose names are compared; two of ten million names share one in 400,000 runs."""


@dataclass(frozen=True)
class Collision:
    """A name with two owners; one of them may be None."""

    name: str
    one: Any
    other: Any


def find_collision(names: Names) -> Optional[Collision]:
    """The first name that has two owners, or None.

    The hashes of all names are compared first; names are compared if their hash is repeated.
    Raises LocalFileFailed.
    """
    with closing(_Hashes()) as hashes:
        for name, _ in names():
            hashes.add(hash(name))
        repeated = hashes.find_repeated()
    owners: dict[str, Any] = {}
    for name, owner in names() if repeated else ():
        if hash(name) in repeated:
            if name in owners and not (owner is None and owners[name] is None):
                return Collision(name, owners[name], owner)
            owners[name] = owner
    return None


class _Hashes:
    """Many hashes, partitioned by their last bits, on disk if they do not fit in memory."""

    def __init__(self) -> None:
        self._partitions = [array("q") for _ in range(_PARTITIONS)]
        self._stored: dict[int, list[int]] = {}
        """Partition -> where in the file its pieces of _HELD hashes begin."""
        self._file: Optional[IO[bytes]] = None

    def add(self, number: int) -> None:
        partition = self._partitions[number & (_PARTITIONS - 1)]
        partition.append(number)
        if len(partition) >= _HELD:
            self._store_names(number & (_PARTITIONS - 1))

    def find_repeated(self) -> set[int]:
        """Hashes that were added twice or more; _EXAMINED at most."""
        found: set[int] = set()
        for number in range(_PARTITIONS):
            seen: set[int] = set()
            for piece in self._read_pieces(number):
                found.update(each for each in piece if each in seen or seen.add(each))  # type: ignore[func-returns-value]
            if len(found) >= _EXAMINED:
                break
        return found

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _store_names(self, number: int) -> None:
        with translate_os_errors(tempfile.gettempdir()):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the hashes
            self._stored.setdefault(number, []).append(self._file.tell())
            self._partitions[number].tofile(self._file)
        del self._partitions[number][:]

    def _read_pieces(self, number: int) -> Iterator[array[int]]:
        yield self._partitions[number]
        for start in self._stored.get(number, ()):
            piece = array("q")
            if self._file is not None:
                self._file.seek(start)
                piece.fromfile(self._file, _HELD)
            yield piece


class ClaimedNames:
    """Names that concurrent operations claim before use, on disk if they are many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: Any = None

    def claim(self, claimant: str, names: Iterable[tuple[str, str]]) -> Optional[Collision]:
        """Claims each name for its owner; returns the first one that another claimant has, or None.

        A claimant that tries again claims the same names again.
        """
        rest = iter(names)
        for batch in iter(lambda: list(islice(rest, _CLAIMED_AT_ONCE)), []):
            with self._lock:
                for name, owner in batch:
                    first, other = self._first_claim(name, claimant, owner)
                    if first != claimant and other != owner:
                        return Collision(name, other, owner)
        return None

    def close(self) -> None:
        """Drops all names."""
        if self._database is not None:
            self._database.close()

    def _first_claim(self, name: str, claimant: str, owner: str) -> tuple[str, str]:
        if self._database is None:
            self._database = _open_temporary_table()
        digest = hashlib.blake2b(_encode_name(name), digest_size=16).digest()
        row = (digest, _encode_name(claimant), _encode_name(owner))
        if (
            self._database.execute("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", row).rowcount
            == 1
        ):
            return claimant, owner
        first, other = self._database.execute(
            "SELECT claimant, owner FROM names WHERE digest = ?", (digest,)
        ).fetchone()
        return first.decode("utf-8", "surrogateescape"), other.decode("utf-8", "surrogateescape")


def _encode_name(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _open_temporary_table() -> Any:
    import sqlite3  # noqa: PLC0415 - few steps claim names

    database = sqlite3.connect(
        "", isolation_level=None, check_same_thread=False
    )  # a file of this connection alone
    table = "CREATE TABLE names (digest BLOB PRIMARY KEY, claimant BLOB, owner BLOB)"
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", table, "BEGIN"):
        database.execute(statement)
    return database
