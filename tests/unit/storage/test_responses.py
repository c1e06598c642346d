"""Responses of S3: what is parsed, and what cannot be believed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.errors import IntegrityFailed, ServiceFailed, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import (
    MAX_EMPTY_PAGES,
    PaginationGuard,
    build_copy_source,
    check_etag_returned,
    check_range_response,
    check_tagging_response,
    check_unchanged,
    find_checksum,
    format_timestamp,
    parse_etag,
    parse_object_headers,
    parse_object_info,
    parse_versions,
    validated_pages,
)

URI = S3Uri("bucket", "in/key")
MOMENT = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
LISTED = {"Key": "in/key", "Size": 7, "ETag": '"e"', "LastModified": MOMENT}


def version(key: str, version_id: str, seconds: int = 0, **more: Any) -> dict[str, Any]:
    moment = MOMENT + timedelta(seconds=seconds)
    return {"Key": key, "Size": 1, "VersionId": version_id, "LastModified": moment, **more}


def test_versions_and_markers_come_in_key_order_the_newest_first() -> None:
    page = {
        "Versions": [version("b", "v1"), version("a", "v2", 5), version("a", "v3", 9)],
        "DeleteMarkers": [version("a", "m1", 7)],
    }
    found = [(info.key, info.version, info.deleted) for info in parse_versions(page)]
    assert found == [("a", "v3", False), ("a", "m1", True), ("a", "v2", False), ("b", "v1", False)]


@pytest.mark.parametrize("marker_is_latest", [False, True])
def test_of_one_second_the_latest_is_the_newest(marker_is_latest: bool) -> None:
    page = {
        "Versions": [version("a", "v", IsLatest=not marker_is_latest)],
        "DeleteMarkers": [version("a", "m", IsLatest=marker_is_latest)],
    }
    found = [info.version for info in parse_versions(page)]
    assert found == (["m", "v"] if marker_is_latest else ["v", "m"])


def test_keys_are_ordered_as_s3_orders_them() -> None:
    page = {"Versions": [version("\U0001f600", "1"), version("\uffff", "2")]}
    assert [info.version for info in parse_versions(page)] == ["2", "1"], "by their UTF-8"


def test_a_response_to_head_is_an_object() -> None:
    answer = {
        "ETag": '"e"', "ContentLength": 7, "LastModified": MOMENT, "VersionId": "v",
        "StorageClass": "GLACIER", "ChecksumCRC32": "abcd", "ContentEncoding": "gzip",
        "Metadata": {"mtime": "5"},
    }  # fmt: skip
    assert parse_object_info(URI, answer) == ObjectInfo(
        "in/key", 7, "e", "2026-01-31T12:00:00Z", "v", "GLACIER", "CRC32:abcd",
        encoding="gzip", mtime="5",
    )  # fmt: skip
    assert parse_object_info(URI, {"ETag": '"e"', "ContentLength": 0}) == ObjectInfo(
        "in/key", 0, "e", ""
    )


@pytest.mark.parametrize(
    "answer", [{}, {"ETag": '"e"'}, {"ContentLength": 1}, {"ETag": '"e', "ContentLength": 1}]
)
def test_a_response_without_an_etag_or_a_size_is_not_believed(answer: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponse, match="without an ETag and a size"):
        parse_object_info(URI, answer)
    with pytest.raises(UnexpectedResponse, match="without an ETag and a size"):
        parse_object_headers(URI, {}, 1)


@pytest.mark.parametrize(
    ("date", "modified"),
    [
        ("Sat, 31 Jan 2026 12:00:00 GMT", "2026-01-31T12:00:00Z"),
        ("Sat, 31 Jan 2026 14:00:00 +0200", "2026-01-31T12:00:00Z"),
        ("yesterday", ""),
        ("Sat, 99 Jan 2026 12:00:00 GMT", ""),
        ("", ""),
    ],
)
def test_headers_are_an_object_even_if_the_date_is_none(date: str, modified: str) -> None:
    info = parse_object_headers(URI, {"etag": '"e"', "last-modified": date}, 7)
    assert info == ObjectInfo("in/key", 7, "e", modified)


@pytest.mark.parametrize(
    ("headers", "checksum"),
    [
        ({"x-amz-checksum-crc32": "abcd"}, "CRC32:abcd"),
        ({"x-amz-checksum-sha256": "abcd-3"}, "SHA256:abcd-3"),
        ({"x-amz-checksum-crc32": ""}, ""),
        ({"etag": f'"{"0" * 32}"'}, f"MD5:{'0' * 32}"),
        ({"etag": f'"{"0" * 32}-2"'}, f"MD5:{'0' * 32}-2"),
        ({"etag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"}, ""),
        ({}, ""),
    ],
)
def test_the_checksum_of_headers(headers: dict[str, str], checksum: str) -> None:
    assert find_checksum(headers) == checksum


@pytest.mark.parametrize(
    ("text", "etag"),
    [('"e"', "e"), ("e", "e"), ('"e', ""), ('e"', ""), ("", ""), (None, "")],
)
def test_an_etag_that_is_cut_off_is_none(text: Any, etag: str) -> None:
    assert parse_etag({"ETag": text}) == etag


def test_times_are_in_utc() -> None:
    assert format_timestamp(None) == ""
    zone = timezone(timedelta(hours=2))
    assert format_timestamp(datetime(2026, 1, 31, 14, tzinfo=zone)) == "2026-01-31T12:00:00Z"


def test_an_object_that_changed_is_refused() -> None:
    now = ObjectInfo("k", 1, "e")
    assert check_unchanged(ObjectInfo("k", 1, "e"), now, URI) is now
    assert check_unchanged(ObjectInfo("k", 1), now, URI) is now, "the list has no ETag"
    with pytest.raises(IntegrityFailed, match="changed since it was listed"):
        check_unchanged(ObjectInfo("k", 1, "f"), now, URI)


@pytest.mark.parametrize(
    ("answer", "start", "is_right"),
    [
        ({"ContentRange": "bytes 2-5/9"}, 2, True),
        ({"ContentRange": "bytes 2-6/9"}, 2, False),
        ({"ResponseMetadata": {"HTTPStatusCode": 206}}, 2, True),
        ({"ContentLength": 4}, 0, True),
        ({"ContentLength": 4}, 2, False),
        ({"ContentLength": 9}, 0, False),
        ({"ContentRange": "bytes 2-5/9", "ETag": '"f"'}, 2, False),
    ],
)
def test_another_range_is_refused(answer: dict[str, Any], start: int, is_right: bool) -> None:
    info, told = ObjectInfo("k", 9, "e"), {"ETag": '"e"', **answer}
    if is_right:
        check_range_response(told, URI, info, start, 4)
        return
    with pytest.raises(IntegrityFailed, match=f"requested bytes {start}-{start + 3}, received"):
        check_range_response(told, URI, info, start, 4)


def test_the_page_of_a_proxy_is_no_range() -> None:
    with pytest.raises(UnexpectedResponse, match="to a range without an ETag"):
        check_range_response({"ContentLength": 4}, URI, ObjectInfo("k", 9, "e"), 0, 4)


def pages(*pages: dict[str, Any]) -> list[Any]:
    return list(validated_pages(pages, S3Uri("bucket", "in/")))


def test_valid_pages_pass() -> None:
    first = {"Contents": [LISTED], "IsTruncated": True, "NextContinuationToken": "t"}
    versions = {
        "Versions": [version("in/a", "v")],
        "DeleteMarkers": [{"Key": "in/b", "VersionId": "m"}],
        "IsTruncated": True,
        "NextKeyMarker": "in/b",
    }
    last = {"IsTruncated": False}
    assert pages(first, last) == [first, last]
    assert pages(versions, last) == [versions, last]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"Contents": [{**LISTED, "Key": "out"}]}, "outside the prefix or has no size"),
        ({"Contents": [{"Key": "in/a"}]}, "has no size"),
        ({"Contents": [{**LISTED, "Size": -1}]}, "has no size"),
        ({"Versions": [version("out", "v")]}, "outside the prefix"),
        ({"DeleteMarkers": [version("out", "v")]}, "outside the prefix"),
        ({"Contents": [{"Size": 1}]}, "outside the prefix"),
        ({}, "ended without IsTruncated"),
        ({"IsTruncated": True}, "or a continuation token"),
        ({"Contents": [LISTED], "KeyCount": 2, "IsTruncated": False}, "has 1 of 2 keys"),
    ],
)
def test_a_page_that_cannot_be_right_ends_the_listing(page: dict[str, Any], message: str) -> None:
    with pytest.raises(UnexpectedResponse, match=message):
        pages(page)


@pytest.mark.parametrize(
    "more", [{"NextContinuationToken": "t"}, {"NextKeyMarker": "k", "NextVersionIdMarker": "v"}]
)
def test_a_listing_that_goes_in_circles_ends(more: dict[str, Any]) -> None:
    page = {"Contents": [LISTED], "IsTruncated": True, **more}
    with pytest.raises(UnexpectedResponse, match="repeats a continuation token"):
        pages(page, page, page)


@pytest.mark.parametrize(
    "entries",
    [
        {"Contents": [LISTED]},
        {"Versions": [version("in/a", "v")]},
        {"CommonPrefixes": [{"Prefix": "in/a/"}]},
    ],
)
def test_a_listing_that_repeats_a_page_ends(entries: dict[str, Any]) -> None:
    repeated = (
        {**entries, "IsTruncated": True, "NextContinuationToken": str(number)}
        for number in range(9)
    )
    with pytest.raises(UnexpectedResponse, match="repeats a continuation token or a page"):
        pages(*repeated)


def test_pages_of_folders_and_of_the_versions_of_one_key_are_not_empty_or_repeated() -> None:
    count = MAX_EMPTY_PAGES + 1
    folders = [
        {
            "CommonPrefixes": [{"Prefix": f"in/{number}/"}],
            "IsTruncated": True,
            "NextContinuationToken": str(number),
        }
        for number in range(count)
    ]
    versions = [
        {
            "Versions": [version("in/a", str(number))],
            "IsTruncated": True,
            "NextKeyMarker": "in/a",
            "NextVersionIdMarker": str(number),
        }
        for number in range(count)
    ]
    assert len(pages(*folders)) == len(pages(*versions)) == count


def test_a_listing_of_empty_pages_ends() -> None:
    def empty(number: int) -> dict[str, Any]:
        return {"IsTruncated": True, "NextContinuationToken": str(number)}

    full = {**empty(10_000), "Contents": [LISTED]}
    before = [empty(number) for number in range(MAX_EMPTY_PAGES - 1)]
    after = [empty(number) for number in range(MAX_EMPTY_PAGES, 2 * MAX_EMPTY_PAGES - 1)]
    assert len(pages(*before, full, *after)) == 2 * MAX_EMPTY_PAGES - 1
    with pytest.raises(ServiceFailed, match="1,000 empty pages in a row") as failed:
        pages(*before, empty(-1))
    assert failed.value.type == "EndlessListing"


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_every_circle_is_found(length: int) -> None:
    guard = PaginationGuard()
    told = (number % length for number in range(100))
    assert any(map(guard.is_repeated, told))


def test_a_response_without_an_etag_may_be_an_error() -> None:
    check_etag_returned({"ETag": '"e"'}, URI, "the upload")
    with pytest.raises(UnexpectedResponse, match="returned 200 to the upload without an ETag"):
        check_etag_returned({}, URI, "the upload")


def test_the_source_of_a_copy_has_its_version() -> None:
    assert build_copy_source(URI, ObjectInfo("in/key", 1)) == {"Bucket": "bucket", "Key": "in/key"}
    versioned = ObjectInfo("in/key", 1, version="v")
    assert build_copy_source(URI, versioned)["VersionId"] == "v"


def test_tags_are_read_only_from_a_response_that_has_some() -> None:
    for body in (b"", b"<Tagging><TagSet/></Tagging>"):
        check_tagging_response(SimpleNamespace(status_code=200, content=body))
    with pytest.raises(UnexpectedResponse):
        check_tagging_response(SimpleNamespace(status_code=200, content=b"<a/>"))
