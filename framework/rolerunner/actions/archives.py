"""Finds out which objects are archived, and which of those are readable for now.

An object of the storage classes GLACIER and DEEP_ARCHIVE is readable for the days that a restore
asked for; the headers of the object say how far that is (S3 API reference, HeadObject).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.protocol import ObjectInfo, Outcome, RequestSender

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.selection.manifest import ObjectList
    from rolerunner.storage.protocol import Storage

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored; GLACIER_IR is readable at once."""
TIERED = "INTELLIGENT_TIERING"
"""The storage class that archives some of its objects, which a listing does not tell."""


def may_be_archived(info: ObjectInfo) -> bool:
    """Returns True for an object that has to be looked at."""
    return not info.deleted and (info.storage_class in ARCHIVED or info.storage_class == TIERED)


def locate(uri: S3Uri, info: ObjectInfo) -> dict[str, Any]:
    """Returns the parameters that name an object in its version."""
    version = {"VersionId": info.version} if info.version else {}
    return {"Bucket": uri.bucket, "Key": uri.key, **version}


@dataclass(frozen=True)
class ReadableRequest:
    """Looks whether an object can be read now: done if so, otherwise skipped."""

    def send(
        self, requests: RequestSender, uri: S3Uri, info: ObjectInfo, cancel: Cancel
    ) -> Outcome:
        """Sends a HEAD request."""
        response = requests.call("head_object", cancel, **locate(uri, info))
        outcome = Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)
        return outcome if is_readable(response) else replace(outcome, status="skipped")


def is_readable(response: Mapping[str, Any]) -> bool:
    """Returns True if the response to HEAD is of an object that can be read."""
    storage_class = response.get("StorageClass") or "STANDARD"
    if storage_class not in ARCHIVED and not response.get("ArchiveStatus"):
        return True
    return 'ongoing-request="false"' in str(response.get("Restore") or "")


def iterate_unreadable(
    objects: Iterable[ObjectInfo], listed: ObjectList, storage: Storage, cancel: Cancel
) -> Iterator[ObjectInfo]:
    """Yields the objects that cannot be read yet. Raises the StepError of one that is refused."""
    looked_at = (info for info in objects if may_be_archived(info))
    for outcome in storage.send_each(looked_at, listed.prefix.bucket, ReadableRequest(), cancel):
        if outcome.error is not None:
            raise outcome.error
        if outcome.status == "skipped" and outcome.info is not None:
            yield outcome.info
