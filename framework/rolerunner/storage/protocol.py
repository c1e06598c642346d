"""S3 as the actions see it: a Protocol whose operations work on many objects at once, under one role.

An operation over objects yields an ``Outcome`` for each as it ends, in no set order: a failed object is a value, so
three failures of ten thousand leave the others done. What stops everything (a refused role, no such bucket for a
listing) is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from dataclasses import dataclass as _value

    from rolerunner.common.files import TargetFolder
    from rolerunner.storage.parts import ObjectRange
else:

    def _value(*, frozen: bool) -> Any:
        """A dataclass that is frozen for the type checker alone: its constructor takes a third of the time, of millions of them."""
        return dataclass(unsafe_hash=frozen)


Item = TypeVar("Item")


@dataclass(frozen=True)
class ObjectInfo:
    """One object as S3 tells of it. ``size`` in bytes, ``modified`` in ISO 8601 UTC, ``etag`` without quotes."""

    key: str
    size: int
    etag: str = ""
    modified: str = ""
    version: str = ""
    storage_class: str = "STANDARD"
    checksum: str = ""
    """What proves its bytes: ``CRC32:base64``, ``SHA256:base64-3`` for one of three parts, ``MD5:hex``; HEAD and GET tell it, listings do not."""
    bucket: str = ""
    """Its bucket, where that is not the one of the list it stands in."""
    deleted: bool = False
    """A delete marker, in a listing of versions."""


def make_object_info(values: dict[str, Any]) -> ObjectInfo:
    """An object of values by name, which it keeps, those that are the default left out: in a tenth of the time that the constructor takes."""
    made = _new(ObjectInfo)
    _set(made, "__dict__", values)
    return made


_new, _set = object.__new__, object.__setattr__


@dataclass(frozen=True)
class Access:
    """What each request of a step says of itself. ``customer_key`` is an SSE-C key in base64."""

    request_payer: bool = False
    bucket_owner: str = ""
    customer_key: str = field(default="", repr=False)
    source_bucket_owner: str = ""
    """Of copies within S3: who must own the bucket they come from."""
    source_key: str = field(default="", repr=False)


@_value(frozen=True)
class Get:
    """Fetch ``source`` into the file ``target``; ``info`` spares a HEAD where the listing told it already."""

    source: S3Uri
    target: Union[str, Path]
    info: Optional[ObjectInfo] = None
    decompress: bool = False
    """The object is gzip: the file holds what it unpacks to."""
    keep_time: bool = False
    skip: Optional[Callable[[], bool]] = None
    """Asked first, in a thread of the engine: is it right already?"""
    folder: Optional[TargetFolder] = None
    """The folder that the file must not leave, also by a link that is put there meanwhile; one of a step's try."""


@_value(frozen=True)
class Put:
    """Store the file ``source`` as ``target``. ``options`` are PutObject's own names and values."""

    source: Union[str, Path]
    target: S3Uri
    options: Mapping[str, Any] = field(default_factory=dict)
    skip: Optional[Callable[[], bool]] = None
    follow: bool = True
    """Whether a source that is a link is read."""
    repeated: bool = False
    """An earlier try may have stored it: where a condition is refused, it is looked whether the object is that one."""


@_value(frozen=True)
class Copy:
    """Store ``source`` as ``target``. ``options`` are PutObject's own; those that are there replace the source's, others are kept."""

    source: S3Uri
    target: S3Uri
    info: Optional[ObjectInfo] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    large: int = 5_000_000_000
    """From this many bytes on the copy goes in parts; a single CopyObject takes 5 GB at most."""
    part: int = 256 << 20
    """Bytes of a part."""
    skip: Optional[Callable[[], bool]] = None
    repeated: bool = False
    """An earlier try may have stored it: where a condition is refused, it is looked whether the object is that one."""
    there: Optional[ObjectInfo] = None
    """The object that ``skip`` compares the source with."""


@_value(frozen=True)
class Outcome:
    """How one object ended: done, skipped or failed. ``size`` is in bytes; ``error`` is None unless it failed."""

    uri: S3Uri
    size: int = 0
    path: Union[str, Path, None] = None
    etag: str = ""
    version: str = ""
    status: str = "done"
    error: Optional[StepError] = None
    source: Optional[S3Uri] = None
    """Of a copy: where it came from."""
    info: Optional[ObjectInfo] = None
    """Of a HEAD: what S3 told."""
    source_info: Optional[ObjectInfo] = None
    """Of a copy: its source as it was copied."""


def prepare_retry(item: Item) -> Item:
    """The item as a further try takes it: without what was known of its object, which may have changed, and perhaps stored already."""
    changes: dict[str, Any] = {}
    if isinstance(item, (Put, Copy)):
        changes["repeated"] = True
    if isinstance(item, (Get, Copy)) and not (item.info is not None and item.info.version):
        changes["info"] = None
    return replace(item, **changes) if changes else item  # type: ignore[type-var]  # each of them is a dataclass


class ListingStorage(Protocol):
    """Lists what is below a prefix."""

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        page: int = 1000,
        parallel: bool = True,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Yields the objects (or versions) under a prefix that follow the key ``after``.

        They come in the order of keys, ``page`` (at most 1000) per request. A caller that stops
        early sets ``parallel`` to False: pages are then requested one after the other. ``cancel``
        stops between two pages; the native engine also stops while it waits for one. Raises StepError.
        """

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Yields the objects directly under a prefix, and the prefixes up to the next ``/``.

        Prefixes are text. Raises StepError.
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

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Returns an object as ``head`` does, and the options of PutObject that store it again.

        These are its metadata, headers and, if wanted, tags, but for those ``replaced``. Raises
        StepError, also for metadata that cannot be stored again as it is.
        """


class TransferStorage(Protocol):
    """Moves objects, many at once.

    An Outcome among the items has been decided by the caller: it is passed through unchanged.
    """

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Stores a small object; ``options`` and ``repeated`` as of ``Put``. Raises StepError."""

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


class DeletionStorage(Protocol):
    """Deletes objects."""

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Deletes objects (or versions, if they have one) in batches of 1000.

        ``unchanged`` deletes only objects that still have the ETag of their ``ObjectInfo``; all
        others are kept and reported as failures.
        """


class Storage(ListingStorage, ReadingStorage, TransferStorage, DeletionStorage, Protocol):
    """Everything an engine does, under one role."""
