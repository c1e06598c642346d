"""The native engine: many objects at once over this package's own HTTP transport.

What it does not support (a proxy, a directory bucket) goes to boto3, object by object.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.keyspace import KeyRange
from rolerunner.model import S3Uri
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.streams import StreamUpload
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.client import NativeClient
from rolerunner.storage.native.deletes import DeleteTasks
from rolerunner.storage.native.fallback import iterate_or_fall_back
from rolerunner.storage.native.ordered_reads import NativeOrderedReads
from rolerunner.storage.native.parallel_listing import ParallelLister
from rolerunner.storage.native.relays import SourceTasks
from rolerunner.storage.native.tasks import ObjectTasks
from rolerunner.storage.native.transfers import NativeTransfers
from rolerunner.storage.native.transport import NativeTransport
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import (
    Copy,
    Get,
    ObjectBlock,
    ObjectInfo,
    ObjectRequest,
    Outcome,
    Put,
    Store,
    UnfinishedUpload,
)
from rolerunner.storage.tuning import KEYS_PER_DELETE
from rolerunner.storage.workers.forked import ForkedProcesses

if TYPE_CHECKING:
    from rolerunner.storage.concatenation import Concatenation
    from rolerunner.storage.protocol import Storage


class NativeEngine:
    """S3 under one role. ``processes`` take a share of the operations on many objects."""

    def __init__(
        self,
        client: NativeClient,
        fallback: BotoEngine,
        processes: Optional[ForkedProcesses] = None,
    ) -> None:
        self.client = client
        self.requests = fallback.requests
        self.tuning = fallback.tuning
        self.transport = NativeTransport(client, fallback)
        # large objects are transferred as the plain engine does it, but for their ranges and parts
        self.fallback = fallback.with_transport(self.transport)
        tasks = ObjectTasks(client, self.fallback)
        self.source_tasks = SourceTasks(client, tasks, self.fallback)
        self._lister = ParallelLister(client)
        self._transfers = NativeTransfers(client, tasks, self.fallback, processes)
        self._ordered_reads = NativeOrderedReads(client, tasks, self.transport, self.fallback)
        self._deletes = DeleteTasks(client, tasks, self.fallback)

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        through: Optional[str] = None,
        page: int = KEYS_PER_DELETE,
        parallel: bool = True,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Yields every object or version under a prefix; pages of objects come in parallel."""
        if versions or page != KEYS_PER_DELETE:
            return self.fallback.list(
                prefix, versions=versions, after=after, page=page, cancel=cancel
            )
        return iterate_or_fall_back(
            self._lister.list(
                prefix, KeyRange(after, through), cancel or Cancel(), parallel=parallel
            ),
            lambda: self.fallback.list(prefix, after=after, cancel=cancel),
        )

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Yields the objects directly under a prefix, and the prefixes below it."""
        return self.fallback.list_folder(prefix)

    def list_uploads(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields the unfinished multipart uploads under a prefix."""
        return self.fallback.list_uploads(prefix, cancel)

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Returns what S3 reports of one object."""
        return self.fallback.head(uri, version)

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Returns the seconds since the object was written."""
        return self.fallback.get_age(uri)

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Returns the bytes of the object's first part."""
        return self.fallback.get_part_size(uri, info)

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """Returns a small object's bytes."""
        return self.fallback.read(uri, limit, version)

    def read_range(self, source: ObjectRange, cancel: Optional[Cancel] = None) -> bytes:
        """Returns the bytes of a range; those of a whole object are verified.

        The connection stays open for the next one. It closes with the engine, or with the next
        operation on many objects.
        """
        if source.is_whole:
            return self.transport.read_object(source, cancel or Cancel())
        return self.transport.read_range(source, cancel)

    def read_in_order(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        cancel: Cancel,
        *,
        within: Optional[tuple[int, int]] = None,
    ) -> Generator[ObjectBlock, None, None]:
        """Yields the blocks of objects one after the other."""
        with closing(self.client.connections):
            if within is not None:
                yield from self.fallback.read_in_order(items, cancel, within=within)
            else:
                yield from self._ordered_reads.read(items, cancel)

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Returns an object and the options of PutObject that store it again."""
        return self.fallback.describe(uri, version, tags=tags, replaced=replaced)

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Stores a small object."""
        return self.fallback.write(uri, data, options, repeated=repeated)

    @contextmanager
    def open_upload(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        max_size: int,
        cancel: Cancel,
        *,
        repeated: bool = False,
    ) -> Iterator[StreamUpload]:
        """Opens a new object that is sent in parts as it is written."""
        opened = self.fallback.open_upload(target, options, max_size, cancel, repeated=repeated)
        with closing(self.client.connections), opened as stream:
            yield stream

    def store(self, items: Iterable[Union[Store, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Stores objects whose bytes come one after the other."""
        with closing(self.client.connections):
            yield from self.fallback.store(items, cancel)

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """Yields the outcome of HEAD for each object."""
        return self._transfers.head_many(items, cancel)

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Downloads objects to files."""
        return self._transfers.get(items, cancel)

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Uploads files."""
        return self._transfers.put(items, cancel)

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copies objects within S3."""
        return self._transfers.copy(items, cancel)

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copies objects that ``source`` reads."""
        if isinstance(source, NativeEngine):
            return self._transfers.relay(items, source, cancel)
        return self.fallback.relay(items, source, cancel)

    def copy_in_parts(self, item: Copy, source: Optional[Storage], parts: PartExecutor) -> Outcome:
        """Copies one large object, which ``source`` reads if it is another role's."""
        with closing(self.client.connections):
            return self.fallback.copy_in_parts(item, source, parts)

    def concatenate(self, item: Concatenation, source: Storage, cancel: Cancel) -> ObjectInfo:
        """Stores one object made of many that ``source`` reads."""
        with closing(self.client.connections):
            return self.fallback.concatenate(item, source, cancel)

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Deletes objects in batches, several at once."""
        for outcomes in self.delete_batches(items, bucket, cancel, unchanged=unchanged):
            yield from outcomes

    def delete_batches(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Sequence[Outcome]]:
        """Deletes objects; yields the outcomes of each request together."""
        loop, policy = self.client.open_loop(cancel, connections=self.tuning.workers)
        deletions = self.fallback.deletes.iterate_deletions(items, bucket, unchanged=unchanged)
        tasks = ((0, self._deletes.delete(deletion, policy)) for deletion in deletions)
        yield from loop.run(tasks)

    def send_each(
        self, items: Iterable[ObjectInfo], bucket: str, request: ObjectRequest, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Sends a request for each object."""
        return self.fallback.send_each(items, bucket, request, cancel)


def open_native_engine(
    fallback: BotoEngine,
    credentials: Any,
    sockets: Optional[SocketFactory] = None,
    processes: Optional[ForkedProcesses] = None,
) -> NativeEngine:
    """Returns an engine over ``fallback``; ``credentials`` are read for every signature."""
    sockets = sockets or SocketFactory(None, 10, 60)
    client = NativeClient(fallback.requests, fallback.tuning, credentials, sockets)
    return NativeEngine(client, fallback, processes)
