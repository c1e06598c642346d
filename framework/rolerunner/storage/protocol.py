"""Protocols of S3 as actions use it, and the values that they exchange.

Operations on many objects yield an ``Outcome`` for each as it ends, in no set order. A failed
object is a value, so three failures of ten thousand leave the others done. What stops everything
(a refused role, a listing of a bucket that does not exist) is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from dataclasses import dataclass as _frozen_for_mypy

    from rolerunner.common.new_files import TargetFolder
    from rolerunner.storage.compression import Compression
    from rolerunner.storage.concatenation import Concatenation
    from rolerunner.storage.concurrency import PartExecutor
    from rolerunner.storage.decompression import Decompression
    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.upload_journal import UploadJournal
else:

    def _frozen_for_mypy(*, frozen: bool) -> Any:
        """A dataclass frozen for the type checker alone; it is constructed 3 times faster."""
        return dataclass(unsafe_hash=frozen)


Item = TypeVar("Item")


@dataclass(frozen=True)
class ObjectInfo:
    """An object as S3 reports it.

    ``size`` is in bytes, ``modified`` in ISO 8601 UTC, ``etag`` without quotes.
    """

    key: str
    size: int
    etag: str = ""
    modified: str = ""
    version: str = ""
    storage_class: str = "STANDARD"
    checksum: str = ""
    """``CRC32:base64``, ``SHA256:base64-3`` for one of three parts, or ``MD5:hex``.

    HEAD and GET report it, listings do not.
    """
    bucket: str = ""
    """Its bucket, if that is not the bucket of the list that holds it."""
    deleted: bool = False
    """True for a delete marker in a listing of versions."""
    encoding: str = ""
    """The Content-Encoding, which HEAD and GET report."""
    mtime: str = ""
    """The modification time in the metadata, which HEAD and GET report."""


def make_object_info(values: dict[str, Any]) -> ObjectInfo:
    """Returns an ObjectInfo that keeps ``values`` as its attributes; defaults may be left out.

    It takes a tenth of the constructor's time.
    """
    new_info = _new(ObjectInfo)
    _set(new_info, "__dict__", values)
    return new_info


_new, _set = object.__new__, object.__setattr__


@dataclass(frozen=True)
class Access:
    """Options of every request of a step. ``customer_key`` is an SSE-C key in base64."""

    request_payer: bool = False
    bucket_owner: str = ""
    customer_key: str = field(default="", repr=False)
    source_bucket_owner: str = ""
    """The expected owner of the bucket that a copy within S3 reads."""
    source_key: str = field(default="", repr=False)


@_frozen_for_mypy(frozen=True)
class Get:
    """A download of ``source`` to the file ``target``; ``info`` from a listing saves a HEAD."""

    source: S3Uri
    target: Union[str, Path]
    info: Optional[ObjectInfo] = None
    decompress: Optional[Decompression] = None
    """The decompression of the object, once its checksum is verified."""
    keep_time: bool = False
    skip: Optional[Callable[[], bool]] = None
    """Returns True if the target is right already; called first, in a thread of the engine."""
    folder: Optional[TargetFolder] = None
    """The folder that the file must not leave, not even through a link created meanwhile."""


@_frozen_for_mypy(frozen=True)
class Put:
    """An upload of the file ``source`` to ``target``; ``options`` are those of PutObject."""

    source: Union[str, Path]
    target: S3Uri
    options: Mapping[str, Any] = field(default_factory=dict)
    skip: Optional[Callable[[], bool]] = None
    follow: bool = True
    """Whether a source that is a link is followed."""
    repeated: bool = False
    """Whether an earlier attempt may have stored it, which a refused condition then may show."""
    compression: Optional[Compression] = None
    """The compression of the file on the way."""
    keep_time: bool = False
    """Whether the file's modification time becomes metadata."""


@_frozen_for_mypy(frozen=True)
class Copy:
    """A copy of ``source`` to ``target``; ``options`` of PutObject replace those of the source."""

    source: S3Uri
    target: S3Uri
    info: Optional[ObjectInfo] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    large: int = 5_000_000_000
    """Bytes from which the copy goes in parts; one CopyObject takes 5 GB at most."""
    part: int = 256 << 20
    """Bytes of a part."""
    skip: Optional[Callable[[], bool]] = None
    repeated: bool = False
    """Whether an earlier attempt may have stored it, which a refused condition then may show."""
    there: Optional[ObjectInfo] = None
    """The target's object that ``skip`` compares the source with."""
    compression: Optional[Compression] = None
    """The compression of the object on the way, by a copy through this machine."""
    keep_time: bool = False
    """Whether the source's time becomes metadata, unless it has a time there already."""
    journal: Optional[UploadJournal] = None
    """Keeps the parts of a large object, so that another attempt or run goes on with them."""


@_frozen_for_mypy(frozen=True)
class Store:
    """An object to store from ``blocks`` of ``size`` bytes, which are read once.

    The next item is drawn only after the blocks of this one were read.
    """

    target: S3Uri
    size: int
    blocks: Iterable[bytes]
    options: Mapping[str, Any] = field(default_factory=dict)
    skip: Optional[Callable[[Optional[bytes]], bool]] = None
    """Returns True if the target is right already. It gets the content, or None if that is too
    large to be held."""
    source: Optional[S3Uri] = None
    """The object that the bytes come from, for the outcome."""
    repeated: bool = False
    """Whether an earlier attempt may have stored it, which a refused condition then may show."""


@_frozen_for_mypy(frozen=True)
class ObjectBlock:
    """The next bytes of an object that is read in order; ``error`` is why they could not be."""

    uri: S3Uri
    info: ObjectInfo
    """The object that is read."""
    start: int
    data: bytes
    """Those of an object of several blocks are valid until the next block is drawn."""
    error: Optional[StepError] = None

    @property
    def is_last(self) -> bool:
        """True for the last block of the object."""
        return self.error is not None or self.start + len(self.data) >= self.info.size


@_frozen_for_mypy(frozen=True)
class Outcome:
    """The end of one object: done, skipped or failed; ``error`` is None unless it failed."""

    uri: S3Uri
    size: int = 0
    path: Union[str, Path, None] = None
    etag: str = ""
    version: str = ""
    status: str = "done"
    error: Optional[StepError] = None
    source: Optional[S3Uri] = None
    """The source of a copy."""
    info: Optional[ObjectInfo] = None
    """The object as HEAD or GET reported it."""
    source_info: Optional[ObjectInfo] = None
    """The source of a copy as it was copied."""


@dataclass(frozen=True)
class QuickCheck:
    """A ``skip`` that sends no request and reads no content, so that it needs no thread."""

    check: Callable[[], bool]

    def __call__(self) -> bool:
        """Returns what the check returns. Raises StepError."""
        return self.check()


def make_skipped_copy(item: Copy, info: Optional[ObjectInfo]) -> Outcome:
    """Returns the outcome of a copy whose target is right already.

    ``info`` is the source as it was compared, if that is known.
    """
    return Outcome(
        item.target,
        info.size if info is not None else 0,
        etag=item.there.etag if item.there is not None else "",
        status="skipped",
        source=item.source,
        source_info=item.info,
    )


def prepare_retry(item: Item) -> Item:
    """Returns the item for another attempt: its object may have changed or be stored already."""
    changes: dict[str, Any] = {}
    if isinstance(item, (Put, Copy)):
        changes["repeated"] = True
    if isinstance(item, (Get, Copy)) and not (item.info is not None and item.info.version):
        changes["info"] = None
    return replace(item, **changes) if changes else item  # type: ignore[type-var]


@dataclass(frozen=True)
class UnfinishedUpload:
    """A multipart upload that was neither completed nor aborted.

    ``initiated`` is in ISO 8601 UTC; ``age`` is in seconds by the server's clock, None if the
    server does not report a time.
    """

    key: str
    upload_id: str
    initiated: str
    age: Optional[float]


class ListingStorage(Protocol):
    """Lists what is below a prefix."""

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
        """Yields the objects (or versions) under a prefix that follow the key ``after``.

        The caller needs none that follow ``through``, which may be yielded all the same.

        They come in the order of keys, ``page`` (at most 1000) per request. A caller that stops
        early sets ``parallel`` to False: pages are then requested one after the other. ``cancel``
        stops between two pages; the native engine also stops while it waits for one.
        Raises StepError.
        """

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Yields the objects directly under a prefix, and the prefixes up to the next ``/``.

        Prefixes are text. Raises StepError.
        """

    def list_uploads(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields the unfinished multipart uploads whose keys begin with the prefix's key.

        Raises StepError.
        """


class ReadingStorage(Protocol):
    """Reads single objects."""

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Returns what S3 reports of one object. Raises NotFound, AccessDenied, StepError."""

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """Yields an Outcome with its ``info`` for each object, in no set order."""

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Returns the seconds since an object was written, by the server's clock.

        None if the server reports no time. Raises as ``head``.
        """

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Returns the bytes of the first part of an object stored in parts. Raises StepError."""

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """Returns a small object's bytes. Raises StepError, also if it exceeds ``limit`` bytes."""

    def read_range(self, source: ObjectRange, cancel: Optional[Cancel] = None) -> bytes:
        """Returns the bytes of a range. Raises StepError, also if the object has changed."""

    def read_in_order(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        cancel: Cancel,
        *,
        within: Optional[tuple[int, int]] = None,
    ) -> Generator[ObjectBlock, None, None]:
        """Yields the blocks of objects one after the other, several of them read at once.

        Checksums are verified. An object that cannot be read ends with a block that has an error.
        ``within`` is the start and length of a range, which alone is read.
        """

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Returns an object as ``head`` does, and the options of PutObject that store it again.

        These are its metadata, headers and, if wanted, tags, but for those ``replaced``. Raises
        StepError, also for metadata that cannot be stored again as it is.
        """


class ByteSink(Protocol):
    """Takes the bytes of a new object."""

    def write(self, data: Any, /) -> int:
        """Adds bytes; returns their number. Raises StepError."""


class UploadStream(ByteSink, Protocol):
    """An object that is being written; ``info`` is None until it is stored."""

    info: Optional[ObjectInfo]


class TransferStorage(Protocol):
    """Moves objects, many at once.

    An Outcome among the items has been decided by the caller: it is passed through unchanged.
    """

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Stores a small object; ``options`` and ``repeated`` as of ``Put``. Raises StepError."""

    def open_upload(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        max_size: int,
        cancel: Cancel,
        *,
        repeated: bool = False,
    ) -> AbstractContextManager[UploadStream]:
        """Opens a new object of at most ``max_size`` bytes, sent in parts as it is written.

        It appears when the block ends; if the block fails, nothing of it is left.
        """

    def store(self, items: Iterable[Union[Store, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Stores objects whose bytes come one after the other, small ones several at once."""

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Downloads objects to files: under a temporary name, verified, then renamed."""

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Uploads files, large ones in parts; nothing of a failed upload is left behind."""

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copies within S3: this role reads the source and writes the target."""

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copies what ``source`` reads to where this role writes, and verifies its checksum.

        The objects pass through this process in bounded memory.
        """

    def copy_in_parts(self, item: Copy, source: Optional[Storage], parts: PartExecutor) -> Outcome:
        """Copies one large object, whose parts ``parts`` runs; a failure is a value.

        ``source`` reads it if that is another role than this one.
        """

    def concatenate(self, item: Concatenation, source: Storage, cancel: Cancel) -> ObjectInfo:
        """Stores one object made of many that ``source`` reads. Raises StepError."""


class DeletionStorage(Protocol):
    """Deletes objects."""

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Deletes objects (or versions, if they have one) in batches of 1000.

        ``unchanged`` deletes only objects that still have the ETag of their ``ObjectInfo``; all
        others are kept and reported as failures.
        """

    def delete_batches(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Sequence[Outcome]]:
        """Deletes objects like ``delete``; yields the outcomes of each request together."""


class RequestSender(Protocol):
    """Sends single requests with the step's options and at its pace."""

    def call(
        self, method: str, cancel: Optional[Cancel] = None, **parameters: Any
    ) -> Mapping[str, Any]:
        """Returns the response of boto3's ``method``. Raises the errors of botocore."""

    def call_unless(
        self, codes: Container[str], method: str, cancel: Optional[Cancel] = None, **parameters: Any
    ) -> Optional[Mapping[str, Any]]:
        """Returns the response, or None if S3 refuses the request with one of the error codes."""


class ObjectRequest(Protocol):
    """A request for each of many objects; a value that can be pickled."""

    def send(
        self, requests: RequestSender, uri: S3Uri, info: ObjectInfo, cancel: Cancel
    ) -> Outcome:
        """Sends the requests for one object. Raises StepError and the errors of botocore."""


class RequestStorage(Protocol):
    """Sends requests of an action's own."""

    def send_each(
        self, items: Iterable[ObjectInfo], bucket: str, request: ObjectRequest, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Sends a request for each object; an error fails its object alone."""


class Storage(
    ListingStorage, ReadingStorage, TransferStorage, DeletionStorage, RequestStorage, Protocol
):
    """Everything an engine does, under one role."""
