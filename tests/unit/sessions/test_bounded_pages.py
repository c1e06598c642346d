"""Pages of an operation are read up to a number of bytes, and of empty ones in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from rolerunner.sessions import bounded_pages
from rolerunner.sessions.bounded_pages import EndlessPages, paginate

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_scan(pages: Sequence[dict[str, Any]], **more: Any) -> Any:
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret-of-the-test",
    )
    with Stubber(client) as stub:
        for number, page in enumerate(pages, 1):
            more_left = {"LastEvaluatedKey": {"k": {"S": str(number)}}}
            stub.add_response("scan", {**page, **(more_left if number < len(pages) else {})})
        return paginate(client, "scan", {"TableName": "t"}, **more).build_full_result()


def page(*names: str, scanned: int = 0) -> dict[str, Any]:
    items = [{"k": {"S": name}} for name in names]
    return {"Items": items, "Count": len(items), "ScannedCount": scanned}


def test_pages_are_joined_and_each_is_told() -> None:
    told: list[int] = []
    found = read_scan([page("a"), page("b", "c")], on_page=lambda: told.append(1))
    assert [each["k"]["S"] for each in found["Items"]] == ["a", "b", "c"]
    assert len(told) == 2
    some = read_scan([page("a"), page("b", "c")], max_items=2)
    assert [each["k"]["S"] for each in some["Items"]] == ["a", "b"]


def test_empty_pages_in_a_row_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_pages, "MAX_EMPTY_PAGES", 3)
    with pytest.raises(EndlessPages, match="4 pages came, the last 3 of them empty"):
        read_scan([page("a"), page(), page(), page(), page()])
    read_scan([page(), page(), page("a"), page(), page()])
    read_scan(
        [page(scanned=1000) for _ in range(5)]
    )  # a filter selects nothing, but the table is read on


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_pages, "MAX_GATHERED", 1 << 20)
    with pytest.raises(EndlessPages, match="6 pages came, more than 1 MiB"):
        read_scan([page("x" * 200_000) for _ in range(7)])


def test_an_exception_of_the_caller_ends_the_pages() -> None:
    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        read_scan([page("a"), page("b")], on_page=stop)
