"""Operations that a distributed storage leaves to the same storage on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.concatenation import Concatenation
    from rolerunner.storage.concurrency import PartExecutor
    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.protocol import (
        Copy,
        Get,
        ObjectBlock,
        ObjectInfo,
        Outcome,
        Put,
        Storage,
        Store,
        UnfinishedUpload,
        UploadStream,
    )


class ForwardedReads:
    """Reads single objects and folders by ``local``."""

    local: Storage

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """Lists a folder."""
        return self.local.list_folder(prefix)

    def list_uploads(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields the unfinished multipart uploads under a prefix."""
        return self.local.list_uploads(prefix, cancel)

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Sends a HEAD request."""
        return self.local.head(uri, version)

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Returns an object's age."""
        return self.local.get_age(uri)

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


class ForwardedWrites:
    """Writes by ``local`` what passes through this machine, and single objects."""

    local: Storage

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

    def copy_in_parts(self, item: Copy, source: Optional[Storage], parts: PartExecutor) -> Outcome:
        """Copies one large object, whose parts ``parts`` runs."""
        return self.local.copy_in_parts(item, source, parts)

    def concatenate(self, item: Concatenation, source: Storage, cancel: Cancel) -> ObjectInfo:
        """Stores one object made of many that ``source`` reads."""
        return self.local.concatenate(item, source, cancel)
