"""A listing distributed over the workers of a cluster.

Each worker lists one range of keys up to a limit and splits what is left of it into ranges for
other workers. The keys come back compressed and wait on this machine's disk for their turn: memory
holds the results of one round of workers.
"""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Optional

from rolerunner.keyspace import KeyRange, OrderedRanges, split_by_probing
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner

KEYS_PER_TASK = 20_000
"""Keys that a worker lists before it returns the rest: about two seconds on S3, half a megabyte
compressed.
"""
TASKS_PER_SLOT = 4
"""Tasks of a wave for each that can run at once: the small ones at the end fill the gaps that large
ones leave.
"""
MIN_PIECES = 8
"""Minimum number of ranges that the rest of a range is split into."""


@dataclass(frozen=True)
class _ListedRange:
    """The result of one task: compressed objects, and the ranges that are left."""

    packed: bytes
    rest: list[KeyRange]


@dataclass(frozen=True)
class _ListRange:
    """The task of listing one range, up to ``limit`` keys."""

    storage: Storage
    prefix: S3Uri
    versions: bool
    key_range: KeyRange
    pieces: int
    limit: int

    def __call__(self, again: bool) -> _ListedRange:
        del again  # listing twice does no harm
        found: list[ObjectInfo] = []
        through = self.key_range.through
        for info in self._list_pages(self.key_range.after):
            if through is not None and info.key > through:
                break
            # versions of one key stay together
            if len(found) >= self.limit and info.key != found[-1].key:
                return _ListedRange(
                    _pack_objects(found), self._split_rest([each.key for each in found])
                )
            found.append(info)
        return _ListedRange(_pack_objects(found), [])

    def _list_pages(self, after: str, page: int = 1000) -> Iterator[ObjectInfo]:
        """Lists page by page: the task stops early, and other workers list what follows."""
        return self.storage.list(
            self.prefix, versions=self.versions, after=after, page=page, parallel=False
        )

    def _split_rest(self, listed_keys: list[str]) -> list[KeyRange]:
        rest = KeyRange(listed_keys[-1], self.key_range.through)
        return split_by_probing(
            rest, self.prefix.key, listed_keys, self.pieces, self._find_next_key
        )

    def _find_next_key(self, after: str) -> Optional[str]:
        info = next(self._list_pages(after, page=1), None)
        return None if info is None or self.key_range.is_past_end(info.key) else info.key


@dataclass(frozen=True)
class _StoredChunk:
    """The place of compressed objects in the temporary file, in bytes."""

    start: int
    length: int


@dataclass(eq=False)
class _TaskRange:
    """A range of one task. ``chunk`` is None before the end, and without keys."""

    key_range: KeyRange
    is_done: bool = False
    chunk: Optional[_StoredChunk] = None


@dataclass(frozen=True)
class DistributedListing:
    """One listing over a cluster. ``storage`` is unpickled as the engine itself in a worker."""

    storage: Storage
    pool: TaskRunner
    cancel: Cancel
    prefix: S3Uri
    versions: bool
    keys_per_task: int = field(default_factory=lambda: KEYS_PER_TASK)

    def list_objects(self, after: str = "") -> Iterator[ObjectInfo]:
        """Yields objects in key order. Raises StepError."""
        ranges = OrderedRanges(_TaskRange(KeyRange(after)))
        with tempfile.TemporaryFile() as file:
            while ranges:
                self._run_round(ranges, file)
                while ranges and ranges.first.is_done:
                    chunk = ranges.pop_first().chunk
                    if chunk is not None:
                        yield from _unpack_objects(chunk, file)

    def _run_round(self, ranges: OrderedRanges[_TaskRange], file: IO[bytes]) -> None:
        """Lists the first pending ranges in workers and adds the ranges that are left of them."""
        tasks = self.pool.slots() * TASKS_PER_SLOT
        pending = ranges.list_pending(tasks)
        pieces = max(MIN_PIECES, tasks // len(pending))
        wave = [pickle.dumps(self._create_task(each.key_range, pieces)) for each in pending]
        (results,) = self.pool.run([wave], self.cancel, f"rolerunner: list {self.prefix}")
        for each, result in zip(pending, results):
            each.is_done = True
            each.chunk = _store_chunk(result.packed, file)
            ranges.insert_after(each, map(_TaskRange, result.rest))

    def _create_task(self, key_range: KeyRange, pieces: int) -> _ListRange:
        return _ListRange(
            self.storage, self.prefix, self.versions, key_range, pieces, self.keys_per_task
        )


def _store_chunk(packed: bytes, file: IO[bytes]) -> Optional[_StoredChunk]:
    if not packed:
        return None
    start = file.seek(0, 2)
    file.write(packed)
    return _StoredChunk(start, len(packed))


def _pack_objects(objects: list[ObjectInfo]) -> bytes:
    if not objects:
        return b""
    return zlib.compress(pickle.dumps([tuple(vars(info).values()) for info in objects]), 1)


def _unpack_objects(chunk: _StoredChunk, file: IO[bytes]) -> Iterator[ObjectInfo]:
    file.seek(chunk.start)
    rows = pickle.loads(zlib.decompress(file.read(chunk.length)))  # noqa: S301 - written by our own worker
    for values in rows:
        yield ObjectInfo(*values)
