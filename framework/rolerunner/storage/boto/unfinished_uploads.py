"""Lists multipart uploads that were neither completed nor aborted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Optional
from urllib.parse import unquote_plus

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, UnexpectedResponse
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.protocol import UnfinishedUpload
from rolerunner.storage.responses import PaginationGuard, format_timestamp

_PAGE_FIELDS = frozenset({"Bucket", "IsTruncated", "Uploads"})
"""Fields of which S3 sends one at least."""


@dataclass(frozen=True)
class UploadLister:
    """Lists the unfinished uploads under a prefix, page after page."""

    requests: BotoRequests

    def list(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields the uploads in the order of keys. Raises StepError for a page that is wrong."""
        is_empty = True
        for upload in self._list_pages(prefix, cancel):
            is_empty = False
            yield upload
        if is_empty and prefix.key and not self.requests.is_on_aws:
            yield from self._search_bucket(prefix, cancel)

    def _search_bucket(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        """Yields those of all uploads of the bucket: some servers compare Prefix with whole keys.

        Finds none if the role may not list them all.
        """
        with contextlib.suppress(AccessDenied):
            for upload in self._list_pages(S3Uri(prefix.bucket, ""), cancel):
                if upload.key.startswith(prefix.key):
                    yield upload

    def _list_pages(self, prefix: S3Uri, cancel: Cancel) -> Iterator[UnfinishedUpload]:
        markers: dict[str, Any] = {}
        guard = PaginationGuard()
        with self.requests.translate_errors(prefix):
            while True:
                page = self.requests.call(
                    "list_multipart_uploads",
                    cancel,
                    Bucket=prefix.bucket,
                    Prefix=prefix.key,
                    EncodingType="url",
                    **markers,
                )
                uploads = _parse_page(page, prefix)
                yield from uploads
                if not page.get("IsTruncated"):
                    return
                markers = _find_markers(page, uploads, prefix)
                bounds = (uploads[0].upload_id, uploads[-1].upload_id) if uploads else None
                if guard.is_repeated(tuple(markers.values()), bounds) or guard.is_stalled(
                    is_empty=not uploads
                ):
                    raise UnexpectedResponse(f"{prefix}: the listing of uploads does not end")
                cancel.stop_if_set()


def _parse_page(page: Mapping[str, Any], prefix: S3Uri) -> list[UnfinishedUpload]:
    # botocore takes any XML, such as the page of a proxy, for a listing without uploads
    if not _PAGE_FIELDS & page.keys():
        message = f"{prefix}: the response cannot be parsed: it is not a listing of uploads"
        raise UnexpectedResponse(message)
    decode = _decoder(page)
    now = _server_time(page)
    uploads = []
    for each in page.get("Uploads", ()):
        key, initiated = decode(str(each.get("Key", ""))), each.get("Initiated")
        if not key.startswith(prefix.key) or not each.get("UploadId"):
            # aborting it would delete parts that nobody asked for
            message = f"{prefix}: S3 listed an upload of '{key}', which is outside the prefix"
            raise UnexpectedResponse(f"{message} or has no id")
        # the time of a response has no fractions: an upload of this second would seem to be of the
        # next one
        age = max((now - initiated).total_seconds(), 0.0) if initiated is not None else None
        uploads.append(
            UnfinishedUpload(key, str(each["UploadId"]), format_timestamp(initiated), age)
        )
    return uploads


def _find_markers(
    page: Mapping[str, Any], uploads: list[UnfinishedUpload], prefix: S3Uri
) -> dict[str, str]:
    """Returns where the next page begins; some servers leave the markers to the client."""
    last = uploads[-1] if uploads else None
    key = _decoder(page)(str(page.get("NextKeyMarker") or "")) or (last.key if last else "")
    if not key:
        message = f"{prefix}: the listing of uploads ended without IsTruncated or a marker"
        raise UnexpectedResponse(message)
    same = last is not None and last.key == key
    upload_id = page.get("NextUploadIdMarker") or (last.upload_id if same and last else "")
    return {"KeyMarker": key, **({"UploadIdMarker": str(upload_id)} if upload_id else {})}


def _decoder(page: Mapping[str, Any]) -> Any:
    """Returns the function that decodes keys; not every server encodes them."""
    return unquote_plus if page.get("EncodingType") == "url" else str


def _server_time(page: Mapping[str, Any]) -> datetime:
    """Returns the time by the server's clock, which the uploads' times are of."""
    date: Optional[str] = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        found = parsedate_to_datetime(str(date))
    except (TypeError, ValueError):
        return datetime.now(timezone.utc)
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
