"""The plain engine: boto3 and threads. It is complete, but slower than the native one."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import Role, S3Uri
from rolerunner.sessions.deferred_client import prepare_client
from rolerunner.storage.boto.concatenations import Concatenations
from rolerunner.storage.boto.conditions import WriteRecovery
from rolerunner.storage.boto.copies import Copies
from rolerunner.storage.boto.deletes import Deletes
from rolerunner.storage.boto.downloads import Downloads
from rolerunner.storage.boto.listing import ObjectLister
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.ordered_reads import OrderedReads
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.boto.relays import Relays
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.retries import backoff_seconds, can_retry
from rolerunner.storage.boto.streams import StoredItem, StreamedUploads, StreamUpload
from rolerunner.storage.boto.transport import BotoTransport, PartTransport
from rolerunner.storage.boto.unfinished_uploads import UploadLister
from rolerunner.storage.boto.unmodelled import send_unmodelled_conditions
from rolerunner.storage.boto.uploads import Uploads
from rolerunner.storage.boto.writer import ObjectWriter
from rolerunner.storage.concurrency import PartExecutor, map_concurrently, retryable_work
from rolerunner.storage.pacing import Pacer
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
)
from rolerunner.storage.tuning import KEYS_PER_DELETE, Tuning

if TYPE_CHECKING:
    from rolerunner.storage.concatenation import Concatenation
    from rolerunner.storage.protocol import Storage

Item = TypeVar("Item")


class BotoEngine:
    """S3 under one role, many objects at once, each in a thread."""

    def __init__(
        self,
        client: Any,
        role: Role,
        caller: Callable[[], str],
        access: Optional[Access] = None,
        pacer: Optional[Pacer] = None,
        tuning: Optional[Tuning] = None,
        transport: Optional[PartTransport] = None,
    ) -> None:
        """``caller`` returns the ARN of the session, for explanations of refused requests.

        ``transport`` moves the ranges and parts of large objects; it is boto3's by default.
        """
        prepare_client(client, send_unmodelled_conditions)
        requests = BotoRequests(client, role, caller, access or Access(), pacer or Pacer())
        tuning = tuning or Tuning()
        self.requests = requests
        self.tuning = tuning
        self.reader = reader = ObjectReader(requests)
        self.recovery = recovery = WriteRecovery(reader)
        self.lister = ObjectLister(requests)
        self.upload_lister = UploadLister(requests)
        self.writer = writer = ObjectWriter(requests, recovery)
        self.boto_transport = BotoTransport(requests, reader, writer)
        self.transport: PartTransport = transport or self.boto_transport
        multipart = MultipartUploads(requests, recovery)
        self.downloads = Downloads(requests, reader, self.transport, tuning)
        self.streams = streams = StreamedUploads(requests, multipart, self.transport, tuning)
        self.uploads = Uploads(requests, writer, multipart, self.transport, tuning, streams)
        self.copies = Copies(requests, recovery, multipart, self.boto_transport)
        self.relays = Relays(requests, writer, multipart, self.transport, tuning, streams)
        self.ordered_reads = OrderedReads(reader, self.transport, tuning)
        self.concatenations = Concatenations(
            requests, reader, writer, multipart, self.transport, self.boto_transport
        )
        self.deletes = Deletes(requests, reader)

    def with_transport(self, transport: PartTransport) -> BotoEngine:
        """Returns this engine with another way to move ranges and parts of large objects."""
        own = self.requests
        return BotoEngine(
            own.client, own.role, own.caller, own.access, own.pacer, self.tuning, transport
        )

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
        """Yields every object or version under a prefix, one page after the other."""
        del parallel, through  # this engine has one request in flight
        return self.lister.list(prefix, versions=versions, after=after, page=page, cancel=cancel)

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Yields the objects directly under a prefix, and the prefixes below it."""
        return self.lister.list_folder(prefix)

    def list_uploads(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields the unfinished multipart uploads under a prefix."""
        return self.upload_lister.list(prefix, cancel)

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Returns what S3 reports of one object."""
        return self.reader.head(uri, version)

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Returns the seconds since the object was written."""
        return self.reader.get_age(uri)

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Returns the bytes of the object's first part."""
        return self.reader.get_part_size(uri, info)

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """Returns a small object's bytes."""
        return self.reader.read(uri, limit, version)

    def read_range(self, source: ObjectRange, cancel: Optional[Cancel] = None) -> bytes:
        """Returns the bytes of a range; those of a whole object are verified."""
        if source.is_whole:
            return self.reader.read_object(source, cancel)
        return self.reader.read_range(source, cancel)

    def read_in_order(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        cancel: Cancel,
        *,
        within: Optional[tuple[int, int]] = None,
    ) -> Generator[ObjectBlock, None, None]:
        """Yields the blocks of objects one after the other."""
        return self.ordered_reads.read(items, cancel, within)

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Returns an object and the options of PutObject that store it again."""
        return self.reader.describe(uri, version, tags=tags, replaced=replaced)

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Stores a small object."""
        return self.writer.write(uri, data, options, repeated=repeated)

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
        with (
            PartExecutor(cancel, self.tuning) as parts,
            self.streams.open(target, options, max_size, parts, repeated=repeated) as stream,
        ):
            yield stream

    def store(self, items: Iterable[Union[Store, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Stores objects whose bytes come one after the other."""
        with PartExecutor(cancel, self.tuning) as parts:

            def work(item: StoredItem) -> Outcome:
                attempt = retryable_work(item, lambda each: self.streams.store_small(each, cancel))
                try:
                    return self._retry_transfer(item.target, attempt, cancel)
                finally:
                    parts.memory.release(item.held)

            drawn = self.streams.draw_items(items, parts)
            yield from map_concurrently(drawn, work, cancel, self.tuning.workers)

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """Yields the outcome of HEAD for each object."""

        def head(uri: S3Uri) -> Outcome:
            info = self.reader.head(uri)
            return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

        def work(uri: S3Uri) -> Outcome:
            return self._retry_transfer(uri, lambda: head(uri), cancel)

        return map_concurrently(items, work, cancel, self.tuning.workers)

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Downloads objects to files."""
        return self._transfer_items(
            items, cancel, lambda item: item.source, self.downloads.download
        )

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Uploads files."""
        return self._transfer_items(items, cancel, lambda item: item.target, self.uploads.upload)

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copies objects within S3."""
        return self._transfer_items(items, cancel, lambda item: item.target, self.copies.copy)

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copies objects that ``source`` reads."""

        def relay(item: Copy, parts: PartExecutor) -> Outcome:
            return self.relays.relay(item, source, parts)

        return self._transfer_items(items, cancel, lambda item: item.target, relay)

    def concatenate(self, item: Concatenation, source: Storage, cancel: Cancel) -> ObjectInfo:
        """Stores one object made of many that ``source`` reads."""
        tried = 1
        while True:
            try:
                with PartExecutor(cancel, self.tuning) as parts:
                    return self.concatenations.concatenate(item, source, parts)
            except StepError as error:
                if not can_retry(error, tried) or cancel.wait(backoff_seconds(tried)):
                    raise
            item, tried = replace(item, repeated=True), tried + 1

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Deletes objects in batches."""
        for outcomes in self.delete_batches(items, bucket, cancel, unchanged=unchanged):
            yield from outcomes

    def delete_batches(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Sequence[Outcome]]:
        """Deletes objects; yields the outcomes of each request together."""
        deletions = self.deletes.iterate_deletions(items, bucket, unchanged=unchanged)
        workers = self.tuning.workers
        return map_concurrently(
            deletions, lambda deletion: self.deletes.delete(deletion, cancel), cancel, workers
        )

    def send_each(
        self, items: Iterable[ObjectInfo], bucket: str, request: ObjectRequest, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Sends a request for each object."""

        def work(info: ObjectInfo) -> Outcome:
            uri = S3Uri(info.bucket or bucket, info.key)

            def send() -> Outcome:
                with self.requests.translate_errors(uri, version=info.version):
                    return request.send(self.requests, uri, info, cancel)

            return self._retry_transfer(uri, send, cancel)

        return map_concurrently(items, work, cancel, self.tuning.workers)

    def _transfer_items(
        self,
        items: Iterable[Union[Item, Outcome]],
        cancel: Cancel,
        name_item: Callable[[Item], S3Uri],
        transfer: Callable[[Item, PartExecutor], Outcome],
    ) -> Iterator[Outcome]:
        """Yields the outcomes of ``transfer`` for each item, which ``name_item`` names."""
        with PartExecutor(cancel, self.tuning) as parts:

            def work(item: Item) -> Outcome:
                attempt = retryable_work(item, lambda each: transfer(each, parts))
                return self._retry_transfer(name_item(item), attempt, cancel)

            yield from map_concurrently(items, work, cancel, self.tuning.workers)

    def copy_in_parts(self, item: Copy, source: Optional[Storage], parts: PartExecutor) -> Outcome:
        """Copies one large object, which ``source`` reads if it is another role's."""

        def transfer(each: Copy) -> Outcome:
            if source is None:
                return self.copies.copy(each, parts)
            return self.relays.relay(each, source, parts)

        return self._retry_transfer(item.target, retryable_work(item, transfer), parts.cancel)

    def _retry_transfer(
        self, uri: S3Uri, attempt: Callable[[], Outcome], cancel: Cancel
    ) -> Outcome:
        """Returns the outcome of the last attempt, whose failure becomes a value."""
        tried = 1
        while True:
            try:
                cancel.stop_if_set()
                with self.requests.translate_errors(uri):
                    return attempt()
            except StepError as error:
                if not can_retry(error, tried) or cancel.wait(backoff_seconds(tried)):
                    return Outcome(uri, status="failed", error=error)
            tried += 1
