"""The sides of a comparison: prefixes, lists of objects, folders, lists of checksums."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.comparisons import LocalFile, StoredObject
from rolerunner.actions.object_names import is_folder_marker
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.selection.checksum_files import read_checksums
from rolerunner.selection.names import format_timestamp
from rolerunner.selection.source_files import walk_folder
from rolerunner.storage.protocol import Get, ObjectInfo
from rolerunner.storage.sorting import sort_objects

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.selection.manifest import ObjectList
    from rolerunner.storage.protocol import Storage


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its entries by relative name, in order."""

    entries: Callable[[], Iterator[tuple[str, Any]]]
    storage: Optional[Storage] = None
    prefix: Optional[S3Uri] = None

    def locate(self, info: ObjectInfo) -> StoredObject:
        """Returns an object of an S3 side."""
        assert self.storage is not None  # noqa: S101 - folders and lists have no objects
        assert self.prefix is not None  # noqa: S101
        return StoredObject(self.storage, _uri_of(self.prefix, info), info)


def _uri_of(prefix: S3Uri, info: ObjectInfo) -> S3Uri:
    return replace(prefix, bucket=info.bucket or prefix.bucket, key=info.key)


def list_prefix(storage: Storage, prefix: S3Uri, cancel: Cancel) -> Side:
    """Returns the objects under a prefix, or a single object."""

    def entries() -> Iterator[tuple[str, ObjectInfo]]:
        if not prefix.is_prefix:
            yield "", storage.head(prefix)
            return
        skip = len(prefix.key)
        for info in storage.list(prefix, cancel=cancel):
            yield info.key[skip:], info

    return Side(entries, storage, prefix)


def list_objects(storage: Storage, objects: ObjectList) -> Side:
    """Returns the objects of a list, by their relative keys; sorted on disk if need be."""

    def entries() -> Iterator[tuple[str, ObjectInfo]]:
        kept = (info for info in objects if not info.deleted)
        in_order = objects.ascending and not objects.flat
        for info in kept if in_order else sort_objects(kept, objects.relative):
            yield objects.relative(info), info

    return Side(entries, storage, objects.prefix)


def list_folder(folder: Path, links: str) -> Side:
    """Returns the files below a folder."""

    def entries() -> Iterator[tuple[str, LocalFile]]:
        for file in walk_folder(str(folder), links=links):
            if file.problem is not None:
                raise file.problem
            yield _check_name(file.relative, file.path), _describe_file(file.path)

    return Side(entries)


def _check_name(relative: str, path: str) -> str:
    try:
        relative.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise StepError(
            f"{shown}: the name is not UTF-8, so no object can have it as its key",
            hint="rename or remove the file",
            type="UnsafeKey",
        ) from None
    return relative


def _describe_file(path: str) -> LocalFile:
    try:
        found = os.stat(path)  # noqa: PTH116 - a million paths
    except OSError as error:  # deleted since it was listed
        return LocalFile(path, -1, problem=StepError(f"{path}: {error.strerror}", type="Gone"))
    modified = datetime.fromtimestamp(found.st_mtime, timezone.utc)
    return LocalFile(path, found.st_size, format_timestamp(modified))


def fetch_file(uri: S3Uri, storage: Storage, path: Path, cancel: Cancel) -> Path:
    """Downloads an object to a file and returns its path. Raises StepError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for outcome in storage.get([Get(uri, path)], cancel):
        if outcome.error is not None:
            raise outcome.error
    return path


def list_checksum_file(path: Path) -> Side:
    """Returns the names of a list of checksums; the digest is the entry's ``checksum``."""

    def entries() -> Iterator[tuple[str, ObjectInfo]]:
        listed = (
            ObjectInfo(
                each.name, 0, checksum=f"{each.algorithm}:{each.digest}", etag=str(each.line)
            )
            for each in read_checksums(path)
        )
        last = None
        for info in sort_objects(listed, lambda info: info.key):
            if last is not None and last.key == info.key:
                raise StepError(
                    f"{path}: '{info.key}' is in the lines {last.etag} and {info.etag}",
                    type="NotChecksums",
                )
            last = info
            yield info.key, info

    return Side(entries)


def leave_out(side: Side, uri: Optional[S3Uri]) -> Side:
    """Returns an S3 side without one object and without the empty objects that mark folders."""

    def entries() -> Iterator[tuple[str, Any]]:
        for name, info in side.entries():
            is_marker = is_folder_marker(info.key, info.size)
            if not is_marker and (uri is None or side.locate(info).uri != uri):
                yield name, info

    return replace(side, entries=entries)
