"""The parts of an upload, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.errors import UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage.upload_parts import list_parts, locate_upload

URI = S3Uri("bucket", "key")


class Requests:
    """Answers with the pages, one after the other, and keeps what was asked for."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, Any]] = []

    def call(self, method: str, cancel: Any = None, **parameters: Any) -> Any:
        raise NotImplementedError

    def call_unless(self, codes: Any, method: str, cancel: Any = None, **parameters: Any) -> Any:
        assert (list(codes), method, cancel) == (["NoSuchUpload"], "list_parts", None)
        self.asked.append(parameters)
        return self.pages.pop(0)


def make_page(*numbers: int, more: bool = False, marker: int = 0) -> dict[str, Any]:
    parts = [{"PartNumber": number, "Size": 1} for number in numbers]
    return {"Parts": parts, "IsTruncated": more, "NextPartNumberMarker": marker}


def test_all_pages_are_read() -> None:
    requests = Requests(make_page(1, 2, more=True), make_page(3, more=True, marker=3), make_page(9))
    found = list_parts(requests, URI, "id")
    assert found is not None
    assert [part["PartNumber"] for part in found] == [1, 2, 3, 9]
    place = locate_upload(URI, "id")
    assert requests.asked == [
        place,
        {**place, "PartNumberMarker": 2},
        {**place, "PartNumberMarker": 3},
    ]


def test_the_customer_key_goes_with_each_page() -> None:
    requests = Requests(make_page(1, more=True), make_page(2))
    list_parts(requests, URI, "id", customer_key={"SSECustomerKey": "k"})
    assert [each["SSECustomerKey"] for each in requests.asked] == ["k", "k"]


def test_an_upload_that_is_gone_has_none() -> None:
    assert list_parts(Requests(None), URI, "id") is None
    assert list_parts(Requests({}), URI, "id") == []


def test_a_listing_that_does_not_end_is_an_error() -> None:
    requests = Requests(make_page(1, more=True), make_page(1, more=True))
    with pytest.raises(UnexpectedResponse, match="does not end"):
        list_parts(requests, URI, "id")
