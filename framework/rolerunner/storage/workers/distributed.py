"""Storage operations distributed over the machines of a cluster, whatever the cluster is.

The objects of an operation are divided into tasks, which run in waves. A task is pickled and sent
to a worker, which opens the same storage for itself. Each object has exactly one outcome, however
often a worker dies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.object_lines import ItemBlocks, ListedBlock, OutcomeBlock
from rolerunner.storage.protocol import Access, Copy, ObjectInfo, ObjectRequest, Outcome
from rolerunner.storage.workers import distributed_tasks as tasks
from rolerunner.storage.workers.distributed_blocks import DistributedBlocks
from rolerunner.storage.workers.distributed_copies import LargeCopies
from rolerunner.storage.workers.distributed_items import DistributedItems
from rolerunner.storage.workers.distributed_listing import (
    DistributedListing,
    list_here_first,
)
from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers
from rolerunner.storage.workers.distributed_tasks import DistributedTask
from rolerunner.storage.workers.forwarding import ForwardedReads, ForwardedWrites
from rolerunner.storage.workers.worker_setup import WorkerSetup, open_worker_storage

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import Role, S3Uri
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner


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
class DistributedStorage(ForwardedReads, ForwardedWrites):
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
    rates: dict[str, deque[float]] = field(default_factory=dict)
    """Items a second of the last tasks of each method, by which those of the next call are sized.
    """

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
        return self._list_objects(prefix, after, cancel, versions=versions)

    def _list_objects(
        self, prefix: S3Uri, after: str, cancel: Optional[Cancel], *, versions: bool
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
        seconds_before: float = 0.0,
    ) -> Iterator[Union[ObjectInfo, ListedBlock]]:
        """Lists objects in key order: the first ones on this machine, the rest on the cluster.

        ``seconds_before`` is the time for which this machine has listed already.
        """
        if prefix.in_directory_bucket:
            return self.local.list(prefix, versions=versions, cancel=cancel)
        stop = cancel or self.cancel
        listing = DistributedListing(self, self.pool, stop, prefix, versions=versions)
        return list_here_first(listing, self.local, self._workers, after, seconds_before)

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """Sends HEAD requests from the cluster."""
        return self._run_items(items, cancel, DistributedOperation(self, "head_many"))

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copies objects within S3."""
        return self._run_items(items, cancel, DistributedOperation(self, "copy"))

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copies objects that another role reads."""
        return self._run_items(items, cancel, DistributedOperation(self, "relay", (source,)))

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Deletes objects in batches."""
        options = {"unchanged": unchanged}
        return self._run_items(
            items, cancel, DistributedOperation(self, "delete", (bucket,), options)
        )

    def delete_batches(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Sequence[Outcome]]:
        """Deletes objects; yields each outcome alone."""
        return ((each,) for each in self.delete(items, bucket, cancel, unchanged=unchanged))

    def send_each(
        self, items: Iterable[ObjectInfo], bucket: str, request: ObjectRequest, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Sends a request for each object."""
        operation = DistributedOperation(self, "send_each", (bucket, request))
        return self._run_items(items, cancel, operation)

    def run_blocks(
        self,
        method: str,
        blocks: ItemBlocks,
        arguments: tuple[Any, ...],
        cancel: Cancel,
        **options: Any,
    ) -> Iterator[OutcomeBlock]:
        """Runs an operation on items that workers make, and yields their outcomes in blocks."""
        operation = DistributedOperation(self, method, arguments, options)
        large = self._create_copies(operation)
        return DistributedBlocks(self._workers, operation, large).run(blocks, cancel)

    def _run_items(
        self, items: Iterable[Any], cancel: Cancel, operation: DistributedOperation
    ) -> Iterator[Outcome]:
        large = self._create_copies(operation)
        return DistributedItems(self._workers, operation, large).run(items, cancel)

    def _create_copies(self, operation: DistributedOperation) -> LargeCopies:
        distributed = (each for each in operation.arguments if isinstance(each, DistributedStorage))
        source = next((each.local for each in distributed), None)
        return LargeCopies(self._workers, operation, self.local, source)

    @property
    def _workers(self) -> RoleWorkers:
        return RoleWorkers(self.pool, self.role, self.pacer, self.rates)
