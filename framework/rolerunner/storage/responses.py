"""Parses and validates responses of S3."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Optional

from rolerunner.errors import IntegrityFailed, ServiceFailed, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, integrity
from rolerunner.storage.kept_times import MTIME, MTIME_HEADER
from rolerunner.storage.protocol import ObjectInfo, make_object_info


def parse_listed_object(each: Mapping[str, Any]) -> ObjectInfo:
    """Returns an object of a listing."""
    return ObjectInfo(
        each["Key"],
        each["Size"],
        str(each.get("ETag", "")).strip('"'),
        format_timestamp(each.get("LastModified")),
        storage_class=each.get("StorageClass") or "STANDARD",
    )


def parse_versions(page: Mapping[str, Any]) -> Iterator[ObjectInfo]:
    """Yields the versions and delete markers of a page in key order, the newest first."""
    versions = [
        (each.get("IsLatest", False), replace(parse_listed_object(each), version=each["VersionId"]))
        for each in page.get("Versions", ())
    ]
    markers = [
        (
            each.get("IsLatest", False),
            ObjectInfo(
                each["Key"],
                0,
                modified=format_timestamp(each.get("LastModified")),
                version=each["VersionId"],
                deleted=True,
            ),
        )
        for each in page.get("DeleteMarkers", ())
    ]
    # a version and a marker of one second are told apart by which of them is the latest
    newest_first = sorted(
        [*versions, *markers], key=lambda each: (each[1].modified, each[0]), reverse=True
    )
    yield from sorted((info for _, info in newest_first), key=lambda info: info.key.encode())


def parse_object_info(uri: S3Uri, answer: Mapping[str, Any]) -> ObjectInfo:
    """Returns the object that a response to HEAD or GET describes.

    Raises ServiceFailed if it is incomplete.
    """
    if not parse_etag(answer) or answer.get("ContentLength", -1) < 0:
        raise UnexpectedResponse(f"{uri}: S3 returned 200 without an ETag and a size")
    return ObjectInfo(
        uri.key,
        answer["ContentLength"],
        parse_etag(answer),
        format_timestamp(answer.get("LastModified")),
        answer.get("VersionId") or "",
        answer.get("StorageClass") or "STANDARD",
        integrity.extract_checksum(answer),
        encoding=str(answer.get("ContentEncoding") or ""),
        mtime=str((answer.get("Metadata") or {}).get(MTIME, "")),
    )


_CHECKSUMS = tuple((f"x-amz-checksum-{name.lower()}", name) for name in hashing.ALGORITHMS)
CUSTOMER_ALGORITHM_HEADER = "x-amz-server-side-encryption-customer-algorithm"
_OF_ETAGS = {
    "etag": "ETag",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    CUSTOMER_ALGORITHM_HEADER: "SSECustomerAlgorithm",
}


def find_checksum(headers: Mapping[str, str]) -> str:
    """Returns the checksum in headers (lower-case names), in the format of ObjectInfo."""
    for header, name in _CHECKSUMS:
        if header in headers and headers[header] and hashing.can_compute(name):
            return f"{name}:{headers[header]}"
    return integrity.extract_checksum(
        {name: headers[header] for header, name in _OF_ETAGS.items() if header in headers}
    )


def parse_object_headers(uri: S3Uri, headers: Mapping[str, str], size: int) -> ObjectInfo:
    """Returns the object that headers of HEAD or GET describe.

    Raises ServiceFailed if they are incomplete.
    """
    told = headers.get
    etag = told("etag")
    if not etag:
        raise UnexpectedResponse(f"{uri}: S3 returned 200 without an ETag and a size")
    return make_object_info(
        {
            "key": uri.key,
            "size": size,
            "etag": etag.strip('"'),
            "modified": _format_http_date(told("last-modified", "")),
            "version": told("x-amz-version-id", ""),
            "storage_class": told("x-amz-storage-class", "STANDARD"),
            "checksum": find_checksum(headers),
            "encoding": told("content-encoding", ""),
            "mtime": told(MTIME_HEADER, ""),
        }
    )


@lru_cache(maxsize=1024)
def _format_http_date(text: str) -> str:
    """Converts an HTTP date to the format of ObjectInfo; empty if it is no date."""
    try:
        return format_timestamp(parsedate_to_datetime(text)) if text else ""
    except (TypeError, ValueError):
        return ""


def parse_etag(answer: Mapping[str, Any]) -> str:
    """Returns the ETag without quotes; empty if http.client has cut it off."""
    etag = str(answer.get("ETag") or "")
    return etag.strip('"') if etag.startswith('"') == etag.endswith('"') else ""


def format_timestamp(moment: Optional[Any]) -> str:
    """Returns a datetime in the format of ObjectInfo."""
    return (
        moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""
    )


def check_unchanged(listed: ObjectInfo, now: ObjectInfo, uri: S3Uri) -> ObjectInfo:
    """Returns ``now``. Raises IntegrityFailed if its ETag differs from the listed one."""
    if listed.etag and listed.etag != now.etag:
        raise IntegrityFailed(f"{uri}: the object changed since it was listed")
    return now


def check_range_response(
    answer: Mapping[str, Any], uri: S3Uri, info: ObjectInfo, start: int, length: int
) -> None:
    """Checks that a response holds the requested range of this object.

    Raises IntegrityFailed, and UnexpectedResponse for one that is of no object.
    """
    if not parse_etag(answer):
        raise UnexpectedResponse(f"{uri}: S3 returned 200 to a range without an ETag")
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
            f"{uri}: requested {wanted[:-1]}, received {told or 'the whole object'} "
            f"of '{parse_etag(answer)}'"
        )


MAX_EMPTY_PAGES = 1_000
"""Number of consecutive empty pages after which a listing fails."""


class PaginationGuard:
    """Detects listings that do not end: repeated tokens, repeated pages and empty pages."""

    def __init__(self) -> None:
        self._tokens, self._pages = _CycleDetector(), _CycleDetector()
        self._empty = 0

    def is_stalled(self, *, is_empty: bool) -> bool:
        """Returns True once too many consecutive pages were empty."""
        self._empty = self._empty + 1 if is_empty else 0
        return self._empty >= MAX_EMPTY_PAGES

    def is_repeated(self, token: object, bounds: Optional[object] = None) -> bool:
        """Returns True if the token of the next page, or a page, was seen before.

        ``bounds`` are the first and the last entry of a page; None if it is empty.
        """
        is_seen = bounds is not None and self._pages.has_seen(bounds)
        return self._tokens.has_seen(token) or is_seen


class _CycleDetector:
    """Finds a cycle in a sequence of values by Brent's algorithm, which keeps one of them."""

    def __init__(self) -> None:
        self._kept: object = None
        self._steps, self._most = 0, 1

    def has_seen(self, value: object) -> bool:
        if value == self._kept:
            return True
        self._steps += 1
        if self._steps == self._most:
            self._kept, self._steps, self._most = value, 0, self._most * 2
        return False


_ENTRIES = ("Contents", "Versions", "DeleteMarkers", "CommonPrefixes")
"""Fields of a page that hold its entries."""


def validated_pages(
    pages: Iterable[Mapping[str, Any]], prefix: S3Uri
) -> Iterator[Mapping[str, Any]]:
    """Yields pages of a listing while they are valid.

    Raises ServiceFailed: a listing must not end silently.
    """
    circle = PaginationGuard()
    for page in pages:
        for each in chain(
            page.get("Contents", ()),
            page.get("Versions", ()),
            ({**marker, "Size": 0} for marker in page.get("DeleteMarkers", ())),
        ):
            if not each.get("Key", "").startswith(prefix.key) or each.get("Size", -1) < 0:
                raise UnexpectedResponse(
                    f"{prefix}: S3 listed '{each.get('Key')}', which is outside the "
                    "prefix or has no size"
                )
        if "IsTruncated" not in page or (page["IsTruncated"] and not _has_continuation(page)):
            raise UnexpectedResponse(
                f"{prefix}: the listing ended without IsTruncated or a continuation token"
            )
        entries = [each for part in _ENTRIES for each in page.get(part, ())]
        if page.get("KeyCount", 0) > len(entries):
            raise UnexpectedResponse(
                f"{prefix}: a page of the listing has {len(entries):,} of {page['KeyCount']:,} keys"
            )
        if page["IsTruncated"] and circle.is_repeated(
            page.get("NextContinuationToken")
            or (page["NextKeyMarker"], page.get("NextVersionIdMarker")),
            _find_bounds(entries),
        ):
            raise UnexpectedResponse(
                f"{prefix}: the listing repeats a continuation token or a page"
            )
        if page["IsTruncated"] and circle.is_stalled(is_empty=not entries):
            raise ServiceFailed(
                f"{prefix}: the listing returned {MAX_EMPTY_PAGES:,} empty pages in a row",
                type="EndlessListing",
            )
        yield page


def _find_bounds(entries: Sequence[Mapping[str, Any]]) -> Optional[object]:
    """Returns what identifies the first and the last entry of a page; None if it is empty."""
    return (
        [
            (each.get("Key") or each.get("Prefix"), each.get("VersionId"))
            for each in (entries[0], entries[-1])
        ]
        if entries
        else None
    )


def _has_continuation(page: Mapping[str, Any]) -> bool:
    return bool(page.get("NextContinuationToken") or page.get("NextKeyMarker"))


def check_deletion_response(http_response: Any, **_: Any) -> None:
    """Checks a response of 200 to DeleteObjects, in botocore's after-call.

    Raises ServiceFailed if it has no DeleteResult.
    """
    if http_response.status_code == 200 and b"DeleteResult" not in http_response.content:  # noqa: PLR2004 - HTTP
        raise UnexpectedResponse("S3 returned 200 to a deletion without a DeleteResult")


def check_tagging_response(http_response: Any, **_: Any) -> None:
    """Checks a response of 200 to GetObjectTagging, in botocore's after-call.

    Raises ServiceFailed for one without a TagSet, which would pass for an object without tags. Ceph
    returns an empty body for such an object.
    """
    body = http_response.content
    if http_response.status_code == 200 and body and b"TagSet" not in body:  # noqa: PLR2004 - HTTP
        raise UnexpectedResponse("S3 returned 200 to a request for tags without a TagSet")


def check_etag_returned(answer: Mapping[str, Any], target: S3Uri, what: str) -> None:
    """Checks that a response of 200 has an ETag; otherwise it may hold an error.

    Raises ServiceFailed.
    """
    if not parse_etag(answer):
        raise UnexpectedResponse(f"{target}: S3 returned 200 to {what} without an ETag")


def build_copy_source(uri: S3Uri, info: ObjectInfo) -> dict[str, str]:
    """Returns the CopySource of CopyObject."""
    return {
        "Bucket": uri.bucket,
        "Key": uri.key,
        **({"VersionId": info.version} if info.version else {}),
    }
