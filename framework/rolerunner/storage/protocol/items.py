"""The values that a storage takes and returns: objects, items of operations, and outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from dataclasses import dataclass as _frozen_for_mypy

    from rolerunner.common.new_files import TargetFolder
    from rolerunner.storage.compression import Compression
    from rolerunner.storage.decompression import Decompression
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

    @property
    def of_source(self) -> Access:
        """The options of requests that read the source of a copy within S3."""
        return Access(self.request_payer, self.source_bucket_owner, self.source_key)


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
