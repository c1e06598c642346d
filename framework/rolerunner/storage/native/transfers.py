"""Operations on many objects, over the event loop and in the worker processes of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.native.copies import CopyTasks
from rolerunner.storage.native.downloads import DownloadTasks
from rolerunner.storage.native.relays import RelayTasks
from rolerunner.storage.native.uploads import UploadTasks, measure_memory
from rolerunner.storage.workers.pool import WorkerPool
from rolerunner.storage.workers.protocol import OperationSpec

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.boto.engine import BotoEngine
    from rolerunner.storage.http.event_loop import WeightedTask
    from rolerunner.storage.native.client import NativeClient
    from rolerunner.storage.native.engine import NativeEngine
    from rolerunner.storage.native.tasks import ObjectTasks
    from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put
    from rolerunner.storage.workers.forked import ForkedProcesses


class NativeTransfers:
    """Transfers many objects at once. ``processes`` take a share of them."""

    def __init__(
        self,
        client: NativeClient,
        tasks: ObjectTasks,
        fallback: BotoEngine,
        processes: Optional[ForkedProcesses],
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._requests = fallback.requests
        self._tuning = fallback.tuning
        self._processes = processes
        self._downloads = DownloadTasks(client, tasks, fallback)
        self._uploads = UploadTasks(client, tasks, fallback)
        self._copies = CopyTasks(client, tasks, fallback)
        self._relays = RelayTasks(client, tasks, fallback)

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """Yields the outcome of HEAD for each object."""
        loop, policy = self._client.open_loop(cancel)

        def begin(uri: S3Uri) -> WeightedTask:
            return 0, self._tasks.retry(uri, lambda: self._tasks.head_outcome(uri, policy))

        with self._open_pool("head_many", loop.cancel) as pool:
            yield from loop.run(pool.dispatch(items, begin, lambda uri: uri))

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Downloads objects to files."""
        loop, policy = self._client.open_loop(cancel)
        download = self._downloads.download

        def begin(item: Get) -> WeightedTask:
            return 0, self._tasks.retry_item(
                item, item.source, lambda each: download(each, policy, parts)
            )

        def name_item(item: Get) -> Optional[S3Uri]:
            return item.source if item.skip is None and self._is_small(item.info) else None

        # the threads of parts keep their connections until the operation ends
        with (
            closing(self._client.connections),
            self._open_pool("get", loop.cancel) as pool,
            PartExecutor(loop.cancel, self._tuning, pool) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begin, name_item))

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Uploads files."""
        loop, policy = self._client.open_loop(cancel)
        upload, large = self._uploads.upload, self._tuning.large

        def begin(item: Put) -> WeightedTask:
            return measure_memory(item.source, large), self._tasks.retry_item(
                item, item.target, lambda each: upload(each, policy, parts)
            )

        def name_item(item: Put) -> Optional[S3Uri]:
            is_small = item.skip is None and measure_memory(item.source, large)
            return item.target if is_small else None

        with (
            closing(self._client.connections),
            self._open_pool("put", loop.cancel) as pool,
            PartExecutor(loop.cancel, self._tuning, pool) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begin, name_item))

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copies objects within S3."""
        loop, policy = self._client.open_loop(cancel)
        copy = self._copies.copy

        def begin(item: Copy) -> WeightedTask:
            return 0, self._tasks.retry_item(
                item, item.target, lambda each: copy(each, policy, parts)
            )

        def name_item(item: Copy) -> Optional[S3Uri]:
            is_small = item.info is not None and item.info.size < item.large
            return item.target if item.skip is None and is_small else None

        with (
            self._open_pool("copy", loop.cancel) as pool,
            PartExecutor(loop.cancel, self._tuning) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begin, name_item))

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: NativeEngine, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copies objects that ``source`` reads."""
        loop, policy = self._client.open_loop(cancel)
        source_policy = source.client.make_policy(loop.cancel)
        relay = self._relays.relay

        def begin(item: Copy) -> WeightedTask:
            is_small = item.info is not None and item.info.size < self._tuning.large
            memory = item.info.size if is_small and item.info is not None else 0
            return memory, self._tasks.retry_item(
                item, item.target, lambda each: relay(each, source, policy, source_policy, parts)
            )

        def name_item(item: Copy) -> Optional[S3Uri]:
            return item.target if item.skip is None and self._is_small(item.info) else None

        with (
            closing(self._client.connections),
            closing(source.client.connections),
            self._open_pool("relay", loop.cancel, source) as pool,
            PartExecutor(loop.cancel, self._tuning, pool) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begin, name_item))

    def _open_pool(
        self, method: str, cancel: Cancel, source: Optional[NativeEngine] = None
    ) -> WorkerPool:
        """Returns the processes that may take a share of an operation."""
        origin = (source.requests.role, source.requests.access) if source is not None else None
        spec = OperationSpec(method, (self._requests.role, self._requests.access), origin)
        return WorkerPool(self._processes, spec, self._requests.pacer, cancel)

    def _is_small(self, info: Optional[ObjectInfo]) -> bool:
        """Returns True if the object is known to be transferred by one request."""
        return info is not None and info.size < self._tuning.large
