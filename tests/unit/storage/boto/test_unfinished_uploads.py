"""The listing of unfinished uploads, on servers that paginate and encode in their own ways."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import ServiceFailed
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.unfinished_uploads import UploadLister
from rolerunner.storage.protocol import UnfinishedUpload
from tests.fake_s3 import Request, Response, start_fake_s3


def upload(key: str, upload_id: str, initiated: str = "2026-01-30T00:00:00.000Z") -> str:
    time = f"<Initiated>{initiated}</Initiated>" if initiated else ""
    return f"<Upload><Key>{key}</Key><UploadId>{upload_id}</UploadId>{time}</Upload>"


def page(*inner: str, truncated: bool = False) -> str:
    return (
        "<ListMultipartUploadsResult>"
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{''.join(inner)}"
        "</ListMultipartUploadsResult>"
    )


def list_uploads(*pages: str) -> tuple[list[UnfinishedUpload], list[Request]]:
    left = list(pages)

    def respond(request: Request) -> Response:
        assert request.operation == "GET [uploads]"
        body = left.pop(0) if len(left) > 1 else left[0]
        return Response(body.encode())

    with start_fake_s3(respond) as (client, requests):
        lister = UploadLister(BotoRequests(client, JOB, lambda: ""))
        return list(lister.list(S3Uri("bucket", "in/"), Cancel())), requests


@dataclass
class OnePage:
    """Responds with one page, as botocore parses it."""

    page: dict[str, Any]
    is_on_aws = True

    def call(self, *_: Any, **__: Any) -> dict[str, Any]:
        return self.page

    def translate_errors(self, _: S3Uri) -> Any:
        return nullcontext()


@pytest.mark.parametrize("date", ["Sat, 31 Jan 2026 00:00:00 GMT", "Sat, 31 Jan 2026 00:00:00"])
def test_ages_are_those_of_the_servers_clock(date: str) -> None:
    begun = datetime(2026, 1, 30, tzinfo=timezone.utc)
    requests: Any = OnePage(
        {
            "IsTruncated": False,
            "Uploads": [
                {"Key": "in/a", "UploadId": "1", "Initiated": begun},
                {"Key": "in/a", "UploadId": "2"},
            ],
            "ResponseMetadata": {"HTTPHeaders": {"date": date}},
        }
    )
    assert list(UploadLister(requests).list(S3Uri("bucket", "in/"), Cancel())) == [
        UnfinishedUpload("in/a", "1", "2026-01-30T00:00:00Z", 86_400.0),
        UnfinishedUpload("in/a", "2", "", None),
    ]


@pytest.mark.parametrize(
    ("markers", "sent"),
    [
        (
            "<NextKeyMarker>in/a</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>",
            ("in/a", "1"),
        ),
        ("<NextKeyMarker>in/a</NextKeyMarker>", ("in/a", "1")),
        ("", ("in/a", "1")),
        ("<NextKeyMarker>in/b</NextKeyMarker>", ("in/b", None)),
    ],
)
def test_the_next_page_begins_after_the_last_upload(
    markers: str, sent: tuple[str, str | None]
) -> None:
    found, requests = list_uploads(
        page(upload("in/a", "1"), markers, truncated=True), page(upload("in/c", "1"))
    )
    assert [each.key for each in found] == ["in/a", "in/c"]
    query = requests[1].query
    assert query["key-marker"] == [sent[0]]
    assert query.get("upload-id-marker", [None]) == [sent[1]]


def test_a_server_without_a_date_has_the_clock_of_this_machine() -> None:
    begun = datetime.now(timezone.utc) - timedelta(hours=1)
    requests: Any = OnePage(
        {"IsTruncated": False, "Uploads": [{"Key": "in/a", "UploadId": "1", "Initiated": begun}]}
    )
    (found,) = UploadLister(requests).list(S3Uri("bucket", "in/"), Cancel())
    assert found.age is not None
    assert 3600 <= found.age < 3700


def test_a_response_that_is_no_listing_is_refused() -> None:
    requests: Any = OnePage({"ResponseMetadata": {}})
    with pytest.raises(ServiceFailed, match="it is not a listing of uploads"):
        list(UploadLister(requests).list(S3Uri("bucket", "in/"), Cancel()))


def test_encoded_keys_are_decoded_and_others_are_not() -> None:
    encoded = "<EncodingType>url</EncodingType>"
    found, requests = list_uploads(
        page(encoded, upload("in/%0A+%2B", "1"), truncated=True), page(upload("in/100%25+", "2"))
    )
    assert [each.key for each in found] == ["in/\n +", "in/100%25+"]
    assert requests[1].query["key-marker"] == ["in/\n +"]


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ([page(upload("other/a", "1"))], "an upload of 'other/a', which is outside the prefix"),
        ([page(upload("in/a", ""))], "or has no id"),
        ([page(truncated=True)], "ended without IsTruncated or a marker"),
        ([page(upload("in/a", "1"), truncated=True)], "does not end"),
    ],
)
def test_a_listing_that_cannot_be_right_is_refused(pages: Any, message: str) -> None:
    with pytest.raises(ServiceFailed, match=message):
        list_uploads(*pages)


@pytest.mark.parametrize(
    ("refused", "expected"), [(False, ["in/a", "in/b"]), (True, [])], ids=["listed", "refused"]
)
def test_a_server_that_finds_uploads_only_by_their_whole_key(
    refused: bool, expected: list[str]
) -> None:
    """MinIO does: the uploads of a prefix are found among those of the bucket."""

    def respond(request: Request) -> Response:
        if request.query["prefix"] == ["in/"]:
            return Response(page().encode())
        if refused:
            return Response(b"<Error><Code>AccessDenied</Code></Error>", 403)
        every = [upload(key, "1") for key in ("a", "in/a", "in/b", "into")]
        return Response(page(*every).encode())

    with start_fake_s3(respond) as (client, requests):
        lister = UploadLister(BotoRequests(client, JOB, lambda: ""))
        found = list(lister.list(S3Uri("bucket", "in/"), Cancel()))
        assert [each.key for each in found] == expected
        assert len(requests) == 2
