"""Metadata and headers that a copy must send again, because S3 does not preserve them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from rolerunner.errors import StepError
from rolerunner.model import S3Uri

KEPT_HEADERS = {
    "content-type": "ContentType",
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "expires": "Expires",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
}
"""Response header -> the option of PutObject that stores it."""
METADATA_PREFIX = "x-amz-meta-"
_HINT = (
    "S3 keeps it in a copy by one role that may read and write, of an object below "
    "'multipart_above', with no other metadata or headers"
)


def kept_headers(
    uri: S3Uri, headers: Mapping[str, str], replaced: Container[str]
) -> dict[str, str]:
    """Returns the headers that store the source's metadata, except ``replaced`` options.

    Raises StepError for metadata that cannot be stored unchanged: a copy, and above all a move,
    would lose it.
    """
    kept = {
        name: headers[name]
        for name, option in KEPT_HEADERS.items()
        if name in headers and option not in replaced
    }
    if "Metadata" not in replaced:
        kept.update(
            {name: value for name, value in headers.items() if name[:11] == METADATA_PREFIX}
        )
        if headers.get("x-amz-missing-meta", "0") not in ("", "0"):
            raise _metadata_lost(
                uri, f"S3 cannot return {headers['x-amz-missing-meta']} of its metadata in headers"
            )
    if "expires" in kept and kept["expires"] and not _is_date(kept["expires"]):
        raise _metadata_lost(uri, f"its Expires is not a date: '{kept['expires']}'")
    if not "".join(kept.values()).isascii():
        name = next(name for name, value in kept.items() if not value.isascii())
        raise _metadata_lost(uri, f"its {name} contains characters that cannot be sent in a header")
    return kept


def _metadata_lost(uri: S3Uri, why: str) -> StepError:
    return StepError(f"{uri}: {why}, so a copy would lose it", hint=_HINT, type="MetadataLost")


def _is_date(text: str) -> bool:
    try:
        parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        try:
            datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return False
    return True
