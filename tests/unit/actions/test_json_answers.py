"""Responses of AWS services as plain JSON."""

from __future__ import annotations

import io
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from rolerunner.actions.json_answers import MAX_BODY, to_plain_json
from rolerunner.errors import StepError


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": {"ResponseMetadata": 1, "b": [1, (2, None)]}}, {"a": {"b": [1, [2, None]]}}),
        ({1: "x"}, {"1": "x"}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (b"text", "text"),
        (b"\xff\x00", "/wA="),
        (Decimal("1.50"), "1.50"),
        (True, True),
        (1.5, 1.5),
        (None, None),
        ({}, {}),
        ([], []),
    ],
)
def test_values_become_plain(value: Any, plain: Any) -> None:
    shown = to_plain_json(value)
    assert shown == plain
    assert type(shown) is type(plain)


@pytest.mark.parametrize(("body", "plain"), [(b"", ""), (b"abc", "abc"), (b"\xff", "/w==")])
def test_streams_are_read_and_closed(body: bytes, plain: str) -> None:
    stream = io.BytesIO(body)
    assert to_plain_json({"Body": stream}) == {"Body": plain}
    assert stream.closed


def test_a_body_may_have_a_mebibyte() -> None:
    assert len(to_plain_json(io.BytesIO(b"x" * MAX_BODY))) == MAX_BODY
    stream = io.BytesIO(b"x" * (MAX_BODY + 1))
    with pytest.raises(StepError, match="more than 1,048,576 bytes") as caught:
        to_plain_json(stream)
    assert caught.value.type == "TooLarge"
    assert stream.closed
