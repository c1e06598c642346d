"""boto3's answers as our values, and what is asked of them before they are believed."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Optional

from rolerunner.errors import IntegrityFailed, ServiceFailed
from rolerunner.model import S3Uri
from rolerunner.storage import integrity
from rolerunner.storage.protocol import ObjectInfo, make_object_info


def parse_listed_object(each: Mapping[str, Any]) -> ObjectInfo:
    """One of a listing's objects."""
    return ObjectInfo(
        each["Key"], each["Size"], str(each.get("ETag", "")).strip('"'), format_timestamp(each.get("LastModified")),
        storage_class=each.get("StorageClass") or "STANDARD",
    )  # fmt: skip


def parse_versions(page: Mapping[str, Any]) -> Iterator[ObjectInfo]:
    """Versions and delete markers of a page, in the order of keys, the newest first."""
    versions = [
        replace(parse_listed_object(each), version=each["VersionId"])
        for each in page.get("Versions", ())
    ]
    markers = [
        ObjectInfo(
            each["Key"],
            0,
            modified=format_timestamp(each.get("LastModified")),
            version=each["VersionId"],
            deleted=True,
        )
        for each in page.get("DeleteMarkers", ())
    ]
    newest_first = sorted([*versions, *markers], key=lambda info: info.modified, reverse=True)
    yield from sorted(newest_first, key=lambda info: info.key.encode())


def parse_object_info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    """What HEAD or GET told. Raises ServiceFailed where that is not what S3 tells of an object."""
    if not parse_etag(answer) or answer.get("ContentLength", -1) < 0:
        raise ServiceFailed(f"S3 said 200 to '{key}', but not what it is", type="InternalError")
    return ObjectInfo(
        key, answer["ContentLength"], parse_etag(answer), format_timestamp(answer.get("LastModified")),
        answer.get("VersionId") or "", answer.get("StorageClass") or "STANDARD", integrity.extract_checksum(answer),
    )  # fmt: skip


_CHECKSUMS = tuple((f"x-amz-checksum-{name.lower()}", name) for name in integrity.ALGORITHMS)
_OF_ETAGS = {
    "etag": "ETag", "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
}  # fmt: skip


def find_checksum(headers: Mapping[str, str]) -> str:
    """The checksum that an answer's headers (names in lower case) tell, as ObjectInfo has it."""
    for header, name in _CHECKSUMS:
        if header in headers and headers[header] and integrity.can_compute(name):
            return f"{name}:{headers[header]}"
    return integrity.extract_checksum(
        {name: headers[header] for header, name in _OF_ETAGS.items() if header in headers}
    )


def parse_object_headers(key: str, headers: Mapping[str, str], size: int) -> ObjectInfo:
    """What the headers of an answer to HEAD or GET tell. Raises ServiceFailed where that is not what S3 tells of an object."""
    told = headers.get
    etag = told("etag")
    if not etag:
        raise ServiceFailed(f"S3 said 200 to '{key}', but not what it is", type="InternalError")
    return make_object_info(
        {
            "key": key, "size": size, "etag": etag.strip('"'), "modified": _iso_of_http(told("last-modified", "")),
            "version": told("x-amz-version-id", ""), "storage_class": told("x-amz-storage-class", "STANDARD"), "checksum": find_checksum(headers),
        }
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _iso_of_http(text: str) -> str:
    """``Thu, 01 Jan 2026 00:00:00 GMT`` as ObjectInfo has moments; empty where it is none."""
    try:
        return format_timestamp(parsedate_to_datetime(text)) if text else ""
    except (TypeError, ValueError):
        return ""


def parse_etag(answer: Mapping[str, Any]) -> str:
    """Without its quotes; empty where the answer broke off in it, which http.client takes for its end."""
    etag = str(answer.get("ETag") or "")
    return etag.strip('"') if etag.startswith('"') == etag.endswith('"') else ""


def format_timestamp(moment: Optional[Any]) -> str:
    """A datetime as ObjectInfo has it."""
    return (
        moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""
    )


def check_unchanged(listed: ObjectInfo, now: ObjectInfo, uri: S3Uri) -> ObjectInfo:
    """``now``. Raises IntegrityFailed where that is another object than the listed one."""
    if listed.etag and listed.etag != now.etag:
        raise IntegrityFailed(f"{uri}: the object changed since it was listed")
    return now


def check_range_response(
    answer: Mapping[str, Any], uri: S3Uri, info: ObjectInfo, start: int, length: int
) -> None:
    """Is it the range that was asked for, of this object? Raises IntegrityFailed."""
    wanted, told = f"bytes {start}-{start + length - 1}/", str(answer.get("ContentRange") or "")
    partial = (
        answer.get("ResponseMetadata", {}).get("HTTPStatusCode") == http.client.PARTIAL_CONTENT
    )
    right = (
        told.startswith(wanted)
        if told
        else partial or (start == 0 and answer.get("ContentLength") == length)
    )
    if not right or parse_etag(answer) != info.etag:
        raise IntegrityFailed(
            f"{uri}: {wanted[:-1]} were asked for, and {told or 'the whole object'} came of '{parse_etag(answer)}'"
        )


MAX_EMPTY_PAGES = 1_000
"""Empty pages in a row after which a listing that says that it goes on is given up."""


class PaginationGuard:
    """Sees when what is told goes round in a circle of whatever length, and keeps one of them alone: Brent's way."""

    def __init__(self) -> None:
        self._kept: object = None
        self._steps, self._most = 0, 1
        self._empty = 0

    def is_stalled(self, *, is_empty: bool) -> bool:
        """Return True once too many pages in a row were empty: new tokens that lead to nothing may come for ever."""
        self._empty = self._empty + 1 if is_empty else 0
        return self._empty >= MAX_EMPTY_PAGES

    def is_repeated(self, told: object) -> bool:
        """Has this come before?"""
        if told == self._kept:
            return True
        self._steps += 1
        if self._steps == self._most:
            self._kept, self._steps, self._most = told, 0, self._most * 2
        return False


def validated_pages(
    pages: Iterable[Mapping[str, Any]], prefix: S3Uri
) -> Iterator[Mapping[str, Any]]:
    """Pages of a listing, as long as they can be: an end that was not told would pass for objects that are not there. Raises ServiceFailed."""
    circle = PaginationGuard()
    for page in pages:
        for each in chain(
            page.get("Contents", ()),
            page.get("Versions", ()),
            ({**marker, "Size": 0} for marker in page.get("DeleteMarkers", ())),
        ):
            if not each.get("Key", "").startswith(prefix.key) or each.get("Size", -1) < 0:
                raise ServiceFailed(
                    f"{prefix}: S3 lists '{each.get('Key')}', which is not below it, or has no size",
                    type="InternalError",
                )
        if "IsTruncated" not in page or (page["IsTruncated"] and not _goes_on(page)):
            raise ServiceFailed(
                f"{prefix}: the listing ended, but S3 did not say that this is its end",
                type="InternalError",
            )
        if page["IsTruncated"] and circle.is_repeated(
            page.get("NextContinuationToken")
            or (page["NextKeyMarker"], page.get("NextVersionIdMarker"))
        ):
            raise ServiceFailed(
                f"{prefix}: the listing goes round in a circle", type="InternalError"
            )
        if page["IsTruncated"] and circle.is_stalled(
            is_empty=not any(page.get(part) for part in ("Contents", "Versions", "DeleteMarkers"))
        ):
            raise ServiceFailed(
                f"{prefix}: the listing returned {MAX_EMPTY_PAGES:,} empty pages in a row",
                type="EndlessListing",
            )
        yield page


def _goes_on(page: Mapping[str, Any]) -> bool:
    return bool(page.get("NextContinuationToken") or page.get("NextKeyMarker"))


def check_deletion_response(http_response: Any, **_: Any) -> None:
    """Botocore's after-call: an answer of 200 that is no DeleteResult has deleted nothing. Raises ServiceFailed."""
    if http_response.status_code == 200 and b"DeleteResult" not in http_response.content:  # noqa: PLR2004 - HTTP
        raise ServiceFailed(
            "S3 said 200 to a deletion, but not that it was done", type="InternalError"
        )


def check_etag_returned(answer: Mapping[str, Any], target: S3Uri, what: str) -> None:
    """An answer of 200 may hold an error, or nothing: only an ETag says that it worked. Raises ServiceFailed."""
    if not parse_etag(answer):
        raise ServiceFailed(
            f"{target}: S3 said 200 to {what}, but not that it is there", type="InternalError"
        )


def build_copy_source(uri: S3Uri, info: ObjectInfo) -> dict[str, str]:
    """As CopyObject takes it."""
    return {
        "Bucket": uri.bucket,
        "Key": uri.key,
        **({"VersionId": info.version} if info.version else {}),
    }
