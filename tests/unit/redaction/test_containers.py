from __future__ import annotations

from typing import Any

import pytest

from rolerunner.redaction.containers import convert_leaves


def mark(value: Any, *, is_secret: bool) -> str:
    return f"<{value}>" if is_secret else str(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"),
        ((1, [2]), ["1", ["2"]]),
        ({"password": 1, "a": 2}, {"PASSWORD": "<1>", "A": "2"}),
        ({"password": {"value": 1, "other": 2}}, {"PASSWORD": {"VALUE": "<1>", "OTHER": "2"}}),
        ({"Name": "api_key", "Value": 1}, {"NAME": "api_key", "VALUE": "<1>"}),
        ({"Name": "color", "Value": 1}, {"NAME": "color", "VALUE": "1"}),
        ({1: "a"}, {1: "a"}),
    ],
)
def test_keys_and_leaves_are_converted(value: Any, expected: Any) -> None:
    assert convert_leaves(value, mark, str.upper) == expected


def test_everything_within_a_secret_root_is_secret() -> None:
    assert convert_leaves({"a": [1]}, mark, str, is_secret=True) == {"a": ["<1>"]}


def test_a_circular_value_stays_circular() -> None:
    value: list[Any] = [1]
    value.append(value)
    converted = convert_leaves(value, mark, str)
    assert converted[0] == "1"
    assert converted[1] is converted
