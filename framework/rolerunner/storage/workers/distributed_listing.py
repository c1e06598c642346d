"""A listing distributed over the workers of a cluster.

Each worker lists one range of keys up to a limit and splits what is left of it into ranges for
other workers. The keys come back compressed and wait on this machine's disk for their turn: memory
holds the results of one round of workers.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import field, replace
from typing import IO, TYPE_CHECKING, Optional

from rolerunner.keyspace import KeyRange, OrderedRanges, split_by_probing
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.object_lines import ListedBlock, pack_objects
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.workers.timed_tasks import TASK_SECONDS

if TYPE_CHECKING:
    from typing import Union

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.distributed_operation import RoleWorkers
    from rolerunner.storage.workers.protocol import TaskRunner

KEYS_PER_BLOCK = 50_000
"""Keys after which a worker looks at the time: one to four seconds on S3, half a megabyte
compressed.
"""
MAX_BLOCKS = 8
"""Blocks after which a worker returns the rest of its range, whatever the time."""
KEYS_LISTED_HERE = 100_000
"""Keys that are listed on this machine before the cluster lists the rest."""
SECONDS_LISTED_HERE = 3.0
"""Seconds for which this machine lists at least: as many as a Spark job costs."""
TASKS_PER_SLOT = 4
"""Tasks of a wave for each that can run at once: the small ones at the end fill the gaps that large
ones leave.
"""
MIN_PIECES = 8
"""Minimum number of ranges that the rest of a range is split into."""
_SAMPLED_KEYS = 50
"""Of so many keys one shows which characters keys are made of."""


@dataclass(frozen=True)
class _ListedRange:
    """The result of one task: its objects, and the ranges that are left."""

    blocks: list[ListedBlock]
    rest: list[KeyRange]


@dataclass(frozen=True)
class _ListRange:
    """The task of listing one range, block by block, for about ``seconds``.

    ``limit`` is the number of keys of a block.
    """

    storage: Storage
    prefix: S3Uri
    versions: bool
    key_range: KeyRange
    pieces: int
    limit: int
    seconds: float

    def __call__(self, again: bool) -> _ListedRange:
        del again  # listing twice does no harm
        end = time.monotonic() + self.seconds
        blocks: list[ListedBlock] = []
        found: list[ObjectInfo] = []
        with closing(self._list_range()) as infos:
            for info in infos:
                # versions of one key stay together
                if len(found) >= self.limit and info.key != found[-1].key:
                    blocks += pack_objects(found)
                    if time.monotonic() >= end or len(blocks) >= MAX_BLOCKS:
                        return _ListedRange(blocks, self._split_rest([each.key for each in found]))
                    found = []
                found.append(info)
        return _ListedRange([*blocks, *pack_objects(found)], [])

    def _list_range(self) -> Generator[ObjectInfo, None, None]:
        """Lists the range, several pages at once where the engine can."""
        through = self.key_range.through
        for info in self.storage.list(
            self.prefix, versions=self.versions, after=self.key_range.after, through=through
        ):
            if through is not None and info.key > through:
                return
            yield info

    def _split_rest(self, listed_keys: list[str]) -> list[KeyRange]:
        rest = KeyRange(listed_keys[-1], self.key_range.through)
        return split_rest(self.storage, self.prefix, rest, listed_keys, self.pieces)


def split_rest(
    storage: Storage, prefix: S3Uri, rest: KeyRange, listed_keys: list[str], pieces: int
) -> list[KeyRange]:
    """Splits a range into at most ``pieces``, by keys like those that were listed before it."""

    def find_next_key(after: str) -> Optional[str]:
        info = next(storage.list(prefix, after=after, page=1, parallel=False), None)
        return None if info is None or rest.is_past_end(info.key) else info.key

    return split_by_probing(rest, prefix.key, listed_keys, pieces, find_next_key)


@dataclass(frozen=True)
class _StoredBlock:
    """A block whose lines are in the temporary file, from the byte ``start`` on."""

    block: ListedBlock
    start: int
    length: int


@dataclass(eq=False)
class _TaskRange:
    """A range of one task. ``stored`` is empty before the end, and without keys."""

    key_range: KeyRange
    is_done: bool = False
    stored: Sequence[_StoredBlock] = ()


@dataclass(frozen=True)
class DistributedListing:
    """One listing over a cluster. ``storage`` is unpickled as the engine itself in a worker."""

    storage: Storage
    pool: TaskRunner
    cancel: Cancel
    prefix: S3Uri
    versions: bool
    keys_per_block: int = field(default_factory=lambda: KEYS_PER_BLOCK)
    seconds: float = field(default_factory=lambda: TASK_SECONDS)

    def list_blocks(self, key_ranges: Sequence[KeyRange]) -> Iterator[ListedBlock]:
        """Yields the objects of consecutive ranges in key order. Raises StepError."""
        first, *others = map(_TaskRange, key_ranges)
        ranges = OrderedRanges(first)
        ranges.insert_after(first, others)
        with tempfile.TemporaryFile() as file:
            while ranges:
                self._run_round(ranges, file)
                while ranges and ranges.first.is_done:
                    for stored in ranges.pop_first().stored:
                        yield _read_block(stored, file)

    def list_objects(self, after: str = "") -> Iterator[ObjectInfo]:
        """Yields objects in key order. Raises StepError."""
        for block in self.list_blocks([KeyRange(after)]):
            yield from block.iterate_objects()

    def count_pieces(self) -> int:
        """Returns the number of ranges that keep all workers busy for a round."""
        return max(MIN_PIECES, self.pool.slots() * TASKS_PER_SLOT)

    def _run_round(self, ranges: OrderedRanges[_TaskRange], file: IO[bytes]) -> None:
        """Lists the first pending ranges in workers and adds the ranges that are left of them."""
        tasks = self.count_pieces()
        pending = ranges.list_pending(tasks)
        pieces = max(MIN_PIECES, tasks // len(pending))
        wave = [pickle.dumps(self._create_task(each.key_range, pieces)) for each in pending]
        (results,) = self.pool.run([wave], self.cancel, f"rolerunner: list {self.prefix}")
        for each, result in zip(pending, results):
            each.is_done = True
            each.stored = [_store_block(block, file) for block in result.blocks]
            ranges.insert_after(each, map(_TaskRange, result.rest))

    def _create_task(self, key_range: KeyRange, pieces: int) -> _ListRange:
        return _ListRange(
            self.storage, self.prefix, self.versions, key_range, pieces, self.keys_per_block,
            self.seconds,
        )  # fmt: skip


def _store_block(block: ListedBlock, file: IO[bytes]) -> _StoredBlock:
    start = file.seek(0, 2)
    file.write(block.packed)
    return _StoredBlock(replace(block, packed=b""), start, len(block.packed))


def _read_block(stored: _StoredBlock, file: IO[bytes]) -> ListedBlock:
    file.seek(stored.start)
    return replace(stored.block, packed=file.read(stored.length))


def list_here_first(
    listing: DistributedListing,
    local: Storage,
    workers: RoleWorkers,
    after: str,
    seconds_before: float = 0.0,
) -> Iterator[Union[ObjectInfo, ListedBlock]]:
    """Lists objects in key order: the first ones on this machine, the rest on the cluster.

    So a short listing takes no longer than without a cluster. ``seconds_before`` is the time for
    which this machine has listed already.
    """
    sample: list[str] = []
    count, last, is_over = 0, after, False
    end = time.monotonic() + SECONDS_LISTED_HERE - seconds_before
    with closing(_list_here(listing, local, after)) as infos:
        for info in infos:
            if is_over and info.key != last:
                break
            count, last = count + 1, info.key
            is_over = count >= KEYS_LISTED_HERE and time.monotonic() >= end
            if count % _SAMPLED_KEYS == 0:
                sample.append(last)
            yield info
        else:
            return
    workers.share_pacer()
    pieces = listing.count_pieces()
    rest = split_rest(local, listing.prefix, KeyRange(last), [*sample, last], pieces)
    yield from listing.list_blocks(rest)


def _list_here(
    listing: DistributedListing, local: Storage, after: str
) -> Generator[ObjectInfo, None, None]:
    yield from local.list(
        listing.prefix, versions=listing.versions, after=after, cancel=listing.cancel
    )
