"""The protocols of storages: listing, reading, transfers, deletion, and requests of actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.concatenation import Concatenation
    from rolerunner.storage.concurrency import PartExecutor
    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.protocol.items import (
        Copy,
        Get,
        ObjectBlock,
        ObjectInfo,
        Outcome,
        Put,
        Store,
        UnfinishedUpload,
    )


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
        """Returns the bytes of a range. Raises StepError, also if the object has changed.

        If the range is the whole object, its checksum is verified.
        """

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
