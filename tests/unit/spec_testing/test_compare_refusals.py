"""Requests that IAM refused, against those that a case expects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.spec_testing.compare_refusals import compare_refusals
from rolerunner.spec_testing.expectations import ExpectedRefusal

ROLE = "arn:aws:iam::111122223333:role/reader"


def refuse(operation: str, key: str = "in/a", **more: Any) -> Any:
    values = {
        "service": "s3",
        "operation": operation,
        "caller": "arn:aws:sts::111122223333:assumed-role/reader/it",
        "parameters": {"Bucket": "box", "Key": key},
        "is_refused": True,
        "is_admin": False,
    }
    return SimpleNamespace(**{**values, **more})


def compare(expected: list[dict[str, str]], *requests: Any) -> list[tuple[str, str]]:
    case: Any = SimpleNamespace(arn=lambda _: ROLE)
    aws: Any = SimpleNamespace(requests=lambda: list(requests))
    wanted = [ExpectedRefusal.model_validate({"role": "reader", **each}) for each in expected]
    return [(each.expected, each.seen) for each in compare_refusals(wanted, case, aws)]


@pytest.mark.parametrize(
    "fields",
    [{}, {"operation": "GetObject"}, {"operation": "s3:GetObject", "bucket": "b*", "key": "in/*"}],
)
def test_a_refusal_that_is_expected(fields: dict[str, str]) -> None:
    assert compare([fields], refuse("GetObject"), refuse("GetObject")) == []


def test_a_refusal_that_did_not_happen() -> None:
    expected = {"operation": "GetObject", "bucket": "box", "key": "out/*"}
    assert compare([expected], refuse("GetObject")) == [
        ("reader GetObject box/out/*", "not refused"),
        ("no others", "reader GetObject box/in/a"),
    ]
    assert compare([{}]) == [("reader *", "not refused")]


def test_requests_that_do_not_count() -> None:
    explaining = refuse("GetRole", service="iam")
    assert compare([], refuse("GetObject", is_admin=True), explaining) == []
    assert compare([], refuse("GetObject", is_refused=False)) == []
    assert compare([], refuse("GetObject"), refuse("GetObject")) == [
        ("none", "reader GetObject box/in/a")
    ]
