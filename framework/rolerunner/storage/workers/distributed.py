"""Storage operations distributed over the machines of a cluster, whatever the cluster is.

The objects of an operation are divided into tasks, which run in waves. A task is pickled and sent
to a worker, which opens the same storage for itself. Each object has exactly one outcome, however
often a worker dies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.keyspace import KeyRange
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.object_lines import (
    ItemBlocks,
    ListedBlock,
    OutcomeBlock,
    measure_line,
    pack_outcomes,
    parse_object_lines,
)
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import (
    Access,
    Copy,
    Get,
    ObjectBlock,
    ObjectInfo,
    ObjectRequest,
    Outcome,
    Put,
    Store,
    UnfinishedUpload,
    UploadStream,
)
from rolerunner.storage.tuning import Tuning
from rolerunner.storage.workers import distributed_listing, timed_tasks
from rolerunner.storage.workers import distributed_parts as parts
from rolerunner.storage.workers import distributed_tasks as tasks
from rolerunner.storage.workers.distributed_listing import DistributedListing, split_rest
from rolerunner.storage.workers.distributed_tasks import BlockTask, DistributedTask, OperationTask
from rolerunner.storage.workers.protocol import choose_wave_size
from rolerunner.storage.workers.timed_tasks import TaskFeed, TaskSizes
from rolerunner.storage.workers.worker_setup import WorkerSetup, open_worker_storage

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import Role
    from rolerunner.storage.concatenation import Concatenation
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner


_FEW = 4
"""If the bytes of all objects are not known, objects are spread from this many times as many
bytes on.
"""
_SAMPLED_KEYS = 50
"""Of so many keys one shows which characters keys are made of."""


@dataclass(frozen=True)
class Distribution:
    """A cluster, and how its workers open S3."""

    pool: TaskRunner
    setup: WorkerSetup

    def storage(
        self, role: Role, access: Access, pacer: Pacer, local: Storage, cancel: Cancel
    ) -> DistributedStorage:
        """Opens S3 under a role. ``local`` is the same storage on this machine.

        ``cancel`` stops listings.
        """
        setup = self.prepare_setup()
        return DistributedStorage(self.pool, setup, role, access, pacer, local, cancel)

    def prepare_setup(self) -> WorkerSetup:
        """Returns the setup with a jitter for the number of workers."""
        return self.setup.with_jitter(self.pool.slots())

    def run(
        self, waves: Iterable[Optional[Sequence[DistributedTask]]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Runs waves of tasks and yields their results.

        Raises StepError, also for tasks that cannot be pickled.
        """
        return self.pool.run(map(tasks.pickle_wave, waves), cancel, what)


@dataclass(frozen=True)
class DistributedStorage:
    """S3 under a role.

    Operations over many objects run on the cluster, other operations on this machine.

    It pickles as the description of what it opens, without credentials; in a worker it is unpickled
    as the engine.
    """

    pool: TaskRunner
    setup: WorkerSetup
    role: Role
    access: Access
    pacer: Pacer
    local: Storage
    cancel: Cancel

    def __reduce__(self) -> tuple[Any, ...]:
        return open_worker_storage, (self.setup, self.role, self.access, self.pacer)

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        through: Optional[str] = None,
        page: int = 1000,
        parallel: bool = True,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Lists objects in key order, on the cluster or, if not ``parallel``, on this machine.

        Directory buckets, which have no key order, are listed on this machine from the beginning.
        """
        if prefix.in_directory_bucket:
            return self.local.list(prefix, versions=versions, page=page, cancel=cancel)
        if not parallel:
            return self.local.list(
                prefix,
                versions=versions,
                after=after,
                through=through,
                page=page,
                parallel=False,
                cancel=cancel,
            )
        return self._list_objects(prefix, after, cancel or self.cancel, versions=versions)

    def _list_objects(
        self, prefix: S3Uri, after: str, cancel: Cancel, *, versions: bool
    ) -> Iterator[ObjectInfo]:
        for each in self.list_blocks(prefix, after=after, versions=versions, cancel=cancel):
            if isinstance(each, ListedBlock):
                yield from each.iterate_objects()
            else:
                yield each

    def list_blocks(
        self,
        prefix: S3Uri,
        *,
        after: str = "",
        versions: bool = False,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[Union[ObjectInfo, ListedBlock]]:
        """Lists objects in key order: the first ones on this machine, the rest on the cluster.

        So a short listing takes no longer than without a cluster.
        """
        if prefix.in_directory_bucket:
            yield from self.local.list(prefix, versions=versions, cancel=cancel)
            return
        sample: list[str] = []
        count, last = 0, after
        with closing(
            self._list_here(prefix, after, cancel or self.cancel, versions=versions)
        ) as infos:
            for info in infos:
                if count >= distributed_listing.KEYS_LISTED_HERE and info.key != last:
                    break
                count, last = count + 1, info.key
                if count % _SAMPLED_KEYS == 0:
                    sample.append(last)
                yield info
            else:
                return
        self.pacer.shares = self.pool.slots()
        stop = cancel or self.cancel
        listing = DistributedListing(self, self.pool, stop, prefix, versions=versions)
        pieces = listing.count_pieces()
        rest = split_rest(self.local, prefix, KeyRange(last), [*sample, last], pieces)
        yield from listing.list_blocks(rest)

    def _list_here(
        self, prefix: S3Uri, after: str, cancel: Cancel, *, versions: bool
    ) -> Generator[ObjectInfo, None, None]:
        yield from self.local.list(prefix, versions=versions, after=after, cancel=cancel)

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """Sends HEAD requests from the cluster."""
        return self._distribute_items("head_many", items, (), cancel)

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copies objects within S3."""
        return self._distribute_items("copy", items, (), cancel)

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copies objects that another role reads."""
        return self._distribute_items("relay", items, (source,), cancel)

    def copy_in_parts(self, item: Copy, source: Optional[Storage], parts: PartExecutor) -> Outcome:
        """Copies one large object, whose parts ``parts`` runs."""
        return self.local.copy_in_parts(item, source, parts)

    def concatenate(self, item: Concatenation, source: Storage, cancel: Cancel) -> ObjectInfo:
        """Stores one object made of many that ``source`` reads."""
        return self.local.concatenate(item, source, cancel)

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Deletes objects in batches."""
        return self._distribute_items("delete", items, (bucket,), cancel, unchanged=unchanged)

    def delete_batches(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Sequence[Outcome]]:
        """Deletes objects; yields each outcome alone."""
        return ((each,) for each in self.delete(items, bucket, cancel, unchanged=unchanged))

    def send_each(
        self, items: Iterable[ObjectInfo], bucket: str, request: ObjectRequest, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Sends a request for each object."""
        return self._distribute_items("send_each", items, (bucket, request), cancel)

    def _distribute_items(
        self,
        method: str,
        items: Iterable[Any],
        arguments: tuple[Any, ...],
        cancel: Cancel,
        **options: Any,
    ) -> Iterator[Outcome]:
        """Runs an operation on the cluster. Outcomes among items are passed through."""
        outcomes: deque[Outcome] = deque()
        started_at = _format_now()

        def create_task(chosen: Sequence[Any]) -> DistributedTask:
            return OperationTask(self, method, chosen, arguments, options, started_at)

        large: deque[Copy] = deque()
        if method in ("copy", "relay"):
            items = self._set_apart(items, method, parts.SPREAD_BYTES * _FEW, large)
        task_size = tasks.KEYS_PER_DELETION if method == "delete" else tasks.OBJECTS_PER_TASK
        waves = self._create_waves(iter(items), outcomes, create_task, task_size)
        is_copy = method in ("copy", "relay")
        for results in self.pool.run(waves, cancel, f"rolerunner: {method} as {self.role}"):
            while outcomes:
                yield outcomes.popleft()
            for outcome in chain.from_iterable(results):
                if is_copy and outcome.status == "done":
                    self.pacer.report_bytes(outcome.size)
                yield outcome
        for item in large:
            yield self._copy_spread(item, arguments, cancel)

    def _set_apart(
        self, items: Iterable[Any], method: str, least: int, large: deque[Copy]
    ) -> Iterator[Any]:
        """Yields the items but for copies of large objects, which go to ``large``."""
        for item in items:
            if parts.is_spread(item, method, 0 if parts.is_begun(item) else least):
                large.append(item)
            else:
                yield item

    def _copy_spread(self, item: Copy, arguments: tuple[Any, ...], cancel: Cancel) -> Outcome:
        """Copies one large object, whose parts the cluster sends."""
        self.pacer.shares = self.pool.slots()
        sources = [each.local for each in arguments if isinstance(each, DistributedStorage)]
        what = f"rolerunner: parts of {item.target} as {self.role}"
        with parts.DistributedParts(
            self.pool, (self, *arguments), what, cancel, self.pacer.report_bytes
        ) as pool:
            tuning = replace(Tuning(), parts_at_once=pool.parts_at_once)
            with PartExecutor(cancel, tuning, pool, is_remote=True) as executor:
                return self.local.copy_in_parts(item, next(iter(sources), None), executor)

    def _create_waves(
        self,
        items: Iterator[Any],
        outcomes: deque[Outcome],
        create_task: Callable[[Sequence[Any]], DistributedTask],
        task_size: int,
    ) -> Iterator[Sequence[bytes]]:
        """Yields waves of pickled tasks, the costliest first.

        Outcomes among the items go to ``outcomes``.
        """
        while True:
            slots = self.pacer.shares = self.pool.slots()
            # a rate limit is divided by the slots, so no more tasks than slots may run
            count = slots if self.pacer.is_paced else choose_wave_size(slots)
            max_bytes = count * tasks.BYTES_PER_SLOT
            drawn = tasks.draw_items(items, count * task_size, max_bytes, outcomes)
            if not drawn and not outcomes:
                return
            yield tasks.pickle_tasks(
                [create_task(each) for each in tasks.balance_tasks(drawn, count)]
            )

    def run_blocks(
        self,
        method: str,
        blocks: ItemBlocks,
        arguments: tuple[Any, ...],
        cancel: Cancel,
        **options: Any,
    ) -> Iterator[OutcomeBlock]:
        """Runs an operation on items that workers make, and yields their outcomes in blocks."""
        multiple = tasks.KEYS_PER_DELETION if method == "delete" else 1
        first = timed_tasks.MAX_ITEMS_PER_TASK if method == "delete" else timed_tasks.FIRST_ITEMS
        sizes = TaskSizes(blocks.count, multiple, tasks.OBJECTS_PER_TASK, first)
        started_at = _format_now()

        least = parts.choose_spread_size(blocks.size, self.pool.slots())
        large: deque[Copy] = deque()

        def create_task(lines: Sequence[bytes]) -> DistributedTask:
            return BlockTask(
                self, method, b"".join(lines), blocks.make_items, blocks.bucket, arguments, options,
                started_at,
            )  # fmt: skip

        lines = self._set_lines_apart(blocks, method, least, large)
        feed = TaskFeed(lines, sizes, self._share_pacer)
        waves = map(tasks.pickle_wave, feed.create_waves(create_task))
        is_copy = method in ("copy", "relay")
        for results in self.pool.run(waves, cancel, f"rolerunner: {method} as {self.role}"):
            for result in results:
                rest = map(measure_line, result.rest.splitlines(keepends=True))
                feed.add_result(result.block.count, result.seconds, rest)
                if is_copy:
                    self.pacer.report_bytes(result.block.bytes)
                yield result.block
        for item in large:
            yield pack_outcomes([self._copy_spread(item, arguments, cancel)], blocks.bucket)

    def _set_lines_apart(
        self, blocks: ItemBlocks, method: str, least: int, large: deque[Copy]
    ) -> Iterator[tuple[bytes, int]]:
        """Yields the lines but for those of large objects, whose copies go to ``large``."""
        for line, size in blocks.read_lines():
            if size < least or method not in ("copy", "relay"):
                yield line, size
                continue
            items = tuple(blocks.make_items(parse_object_lines([line.decode("ascii")])))
            if items and all(parts.is_spread(item, method, least) for item in items):
                large.extend(items)
            else:
                yield line, size

    def _share_pacer(self) -> int:
        """Divides the limits of rates among the tasks that run at once; returns their number."""
        self.pacer.shares = slots = self.pool.slots()
        return slots

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Lists a folder."""
        return self.local.list_folder(prefix)

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Returns an object's age."""
        return self.local.get_age(uri)

    def list_uploads(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields the unfinished multipart uploads under a prefix."""
        return self.local.list_uploads(prefix, cancel)

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Sends a HEAD request."""
        return self.local.head(uri, version)

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Returns the size of an object's first part."""
        return self.local.get_part_size(uri, info)

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """Reads a small object."""
        return self.local.read(uri, limit, version)

    def read_range(self, source: ObjectRange, cancel: Optional[Cancel] = None) -> bytes:
        """Reads a range of an object."""
        return self.local.read_range(source, cancel)

    def read_in_order(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        cancel: Cancel,
        *,
        within: Optional[tuple[int, int]] = None,
    ) -> Generator[ObjectBlock, None, None]:
        """Reads objects one after the other."""
        return self.local.read_in_order(items, cancel, within=within)

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Describes an object and its metadata."""
        return self.local.describe(uri, version, tags=tags, replaced=replaced)

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Writes a small object."""
        return self.local.write(uri, data, options, repeated=repeated)

    def open_upload(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        max_size: int,
        cancel: Cancel,
        *,
        repeated: bool = False,
    ) -> AbstractContextManager[UploadStream]:
        """Opens a new object."""
        return self.local.open_upload(target, options, max_size, cancel, repeated=repeated)

    def store(self, items: Iterable[Union[Store, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Stores what this machine reads."""
        return self.local.store(items, cancel)

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Downloads to files of this machine."""
        return self.local.get(items, cancel)

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Uploads files of this machine."""
        return self.local.put(items, cancel)


def _format_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
