"""Metadata that a copy sends again, and must not lose."""

from __future__ import annotations

import pytest

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.kept_metadata import kept_headers

URI = S3Uri("bucket", "key")
HEADERS = {
    "content-type": "text/csv",
    "content-length": "4",
    "etag": '"e"',
    "expires": "Sat, 31 Jan 2026 02:03:04 GMT",
    "x-amz-meta-owner": "team",
}


def test_headers_and_metadata_are_kept_and_others_are_not() -> None:
    assert kept_headers(URI, HEADERS, ()) == {
        "content-type": "text/csv",
        "expires": "Sat, 31 Jan 2026 02:03:04 GMT",
        "x-amz-meta-owner": "team",
    }


def test_what_is_replaced_is_not_kept() -> None:
    kept = kept_headers(URI, {**HEADERS, "x-amz-missing-meta": "2"}, ("Metadata", "ContentType"))
    assert kept == {"expires": "Sat, 31 Jan 2026 02:03:04 GMT"}


@pytest.mark.parametrize("expires", ["", "2026-01-31T02:03:04Z", "2026-01-31"])
def test_dates_of_other_forms_are_kept(expires: str) -> None:
    assert kept_headers(URI, {"expires": expires}, ()) == {"expires": expires}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-amz-missing-meta": "2"}, "S3 cannot return 2 of its metadata in headers"),
        ({"expires": "tomorrow"}, "its Expires is not a date: 'tomorrow'"),
        ({"x-amz-meta-a": "é"}, "its x-amz-meta-a contains characters"),
    ],
)
def test_what_would_be_lost_is_an_error(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(StepError, match=f"s3://bucket/key: {reason}") as failed:
        kept_headers(URI, headers, ())
    assert failed.value.type == "MetadataLost"
    assert "multipart_above" in failed.value.hint
