"""boto3's answers as our values, and what is asked of them before they are believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Optional

from rolerunner.errors import IntegrityFailed, ServiceFailed
from rolerunner.model import S3Uri
from rolerunner.storage import checksums
from rolerunner.storage.base import ObjectInfo


def listed_of(each: Mapping[str, Any]) -> ObjectInfo:
    """One of a listing's objects."""
    return ObjectInfo(
        each["Key"], each["Size"], str(each.get("ETag", "")).strip('"'), iso_of(each.get("LastModified")),
        storage_class=each.get("StorageClass") or "STANDARD",
    )  # fmt: skip


def versions_of(page: Mapping[str, Any]) -> Iterator[ObjectInfo]:
    """Versions and delete markers of a page, in the order of keys, the newest first."""
    versions = [replace(listed_of(each), version=each["VersionId"]) for each in page.get("Versions", ())]
    markers = [
        ObjectInfo(each["Key"], 0, modified=iso_of(each.get("LastModified")), version=each["VersionId"], deleted=True)
        for each in page.get("DeleteMarkers", ())
    ]
    newest_first = sorted([*versions, *markers], key=lambda info: info.modified, reverse=True)
    yield from sorted(newest_first, key=lambda info: info.key.encode())


def info_of(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    """What HEAD or GET told."""
    return ObjectInfo(
        key, answer["ContentLength"], etag_of(answer), iso_of(answer.get("LastModified")),
        answer.get("VersionId") or "", answer.get("StorageClass") or "STANDARD", checksums.told(answer),
    )  # fmt: skip


_CHECKSUMS = {f"x-amz-checksum-{name.lower()}": f"Checksum{name}" for name in checksums.ALGORITHMS}
_TOLD = {
    **_CHECKSUMS, "etag": "ETag", "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
}  # fmt: skip


def told_by(headers: Mapping[str, str]) -> str:
    """The checksum that an answer's headers (names in lower case) tell, as ObjectInfo has it."""
    return checksums.told({_TOLD[name]: value for name, value in headers.items() if name in _TOLD})


def info_by(key: str, headers: Mapping[str, str], size: int) -> ObjectInfo:
    """What the headers of an answer to HEAD or GET tell."""
    return ObjectInfo(
        key, size, headers.get("etag", "").strip('"'), _iso_of_http(headers.get("last-modified", "")), headers.get("x-amz-version-id", ""),
        headers.get("x-amz-storage-class", "STANDARD"), told_by(headers),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _iso_of_http(text: str) -> str:
    """``Thu, 01 Jan 2026 00:00:00 GMT`` as ObjectInfo has moments; empty where it is none."""
    try:
        return iso_of(parsedate_to_datetime(text)) if text else ""
    except (TypeError, ValueError):
        return ""


def etag_of(answer: Mapping[str, Any]) -> str:
    """Without its quotes."""
    return str(answer.get("ETag", "")).strip('"')


def iso_of(moment: Optional[Any]) -> str:
    """A datetime as ObjectInfo has it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""


def same_as_listed(listed: ObjectInfo, now: ObjectInfo, uri: S3Uri) -> ObjectInfo:
    """``now``. Raises IntegrityFailed where that is another object than the listed one."""
    if listed.etag and listed.etag != now.etag:
        raise IntegrityFailed(f"{uri}: the object changed since it was listed")
    return now


def check_there(answer: Mapping[str, Any], target: S3Uri, what: str) -> None:
    """An answer of 200 may hold an error, or nothing: only an ETag says that it worked. Raises ServiceFailed."""
    if not answer.get("ETag"):
        raise ServiceFailed(f"{target}: S3 said 200 to {what}, but not that it is there", type="InternalError")


def copy_source(uri: S3Uri, info: ObjectInfo) -> dict[str, str]:
    """As CopyObject takes it."""
    return {"Bucket": uri.bucket, "Key": uri.key, **({"VersionId": info.version} if info.version else {})}
