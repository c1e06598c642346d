"""Expectations: what fits a prefix or an object, and the status to expect."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec_testing.expectations import Expectations


def message(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(value)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "succeeded"),
        ({"status": "failed"}, "failed"),
        ({"exit": 4}, None),
        ({"exit": 0, "status": "warning"}, "warning"),
        ({"refusals": []}, "succeeded"),
        ({"refusals": [{"role": "job"}]}, None),
        ({"steps": {"a": "succeeded"}}, "succeeded"),
    ],
)
def test_a_run_is_to_succeed_unless_something_else_is_said(
    fields: dict[str, Any], status: str | None
) -> None:
    assert Expectations.model_validate(fields).run_status == status


PREFIX = (
    "'s3://box/a/' is a prefix, which has 'count', 'names' or 'absent'; "
    "without the last '/' it is one object"
)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"objects": {"s3://box/a/": "x"}}, PREFIX),
        ({"objects": {"s3://box/a/": {"count": 1, "tags": {}}}}, PREFIX),
        (
            {"objects": {"s3://box/a": {"count": 1}}},
            "'count' applies to a prefix or folder: write 's3://box/a/'",
        ),
        (
            {"files": {"a": {"names": []}}},
            "'names' applies to a prefix or folder: write 'a/'",
        ),
        (
            {"files": {"a": {"absent": True, "size": 0}}},
            "'a' is expected to be absent, so nothing else can be expected of it",
        ),
        (
            {"files": {"/etc/passwd": "x"}},
            "must be a path below the case's folder, such as in/orders.csv",
        ),
        (
            {"files": {"a/../b": "x"}},
            "must be a path below the case's folder, such as in/orders.csv",
        ),
        ({"exit": 256}, "Input should be less than or equal to 255"),
        ({"exit": -1}, "Input should be greater than or equal to 0"),
    ],
)
def test_an_expectation_fits_its_place(fields: dict[str, Any], text: str) -> None:
    assert message(Expectations, fields) == text


@pytest.mark.parametrize(
    "fields",
    [
        {"objects": {"s3://box/a/": {"count": 0}, "s3://box": {"names": ["b"]}}},
        {"objects": {"s3://box/a/": {"absent": True}}},
        {"files": {"a/": {"count": 2, "names": ["x", "y"]}, "a..b": "x"}},
        {"exit": 255},
    ],
)
def test_expectations_that_fit(fields: dict[str, Any]) -> None:
    assert Expectations.model_validate(fields).model_fields_set == set(fields)


def test_lines_of_the_log_may_stand_alone() -> None:
    listed = Expectations.model_validate({"messages": ["counted*3"]}).messages
    assert (listed.log, listed.topics) == (["counted*3"], {})
    assert listed == Expectations.model_validate({"messages": {"log": ["counted*3"]}}).messages
