"""Lists the parts of a multipart upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import UnexpectedResponse

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import RequestSender

UPLOAD_GONE = frozenset({"NoSuchUpload"})
"""The error code of an upload that was completed or aborted meanwhile."""
_MAX_PAGES = 1000
"""Pages of parts: an upload has 10,000 parts at most, of which a page may list few."""


def locate_upload(uri: S3Uri, upload_id: str) -> dict[str, Any]:
    """Returns the parameters that name an upload."""
    return {"Bucket": uri.bucket, "Key": uri.key, "UploadId": upload_id}


def list_parts(
    requests: RequestSender,
    uri: S3Uri,
    upload_id: str,
    cancel: Optional[Cancel] = None,
    customer_key: Optional[Mapping[str, Any]] = None,
) -> Optional[list[Mapping[str, Any]]]:
    """Returns the parts of an upload as S3 lists them; None if the upload is gone.

    ``customer_key`` has the parameters of SSE-C of an upload that has such a key.
    """
    place = {**locate_upload(uri, upload_id), **(customer_key or {})}
    found: list[Mapping[str, Any]] = []
    marker = 0
    for _ in range(_MAX_PAGES):
        parameters = {**place, "PartNumberMarker": marker} if marker else place
        page = requests.call_unless(UPLOAD_GONE, "list_parts", cancel, **parameters)
        if page is None:
            return None
        parts = page.get("Parts", ())
        found += parts
        following = int(
            page.get("NextPartNumberMarker") or (parts[-1]["PartNumber"] if parts else 0)
        )
        if not page.get("IsTruncated"):
            return found
        if following <= marker:
            break
        marker = following
    message = f"{uri}: the listing of an upload's parts does not end"
    raise UnexpectedResponse(message)
