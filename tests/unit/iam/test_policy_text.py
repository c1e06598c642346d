"""Policies as JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.iam.policy_text import MAX_LINE_WIDTH, compact_json, format_json


@pytest.mark.parametrize("value", [{"a": 1, "b": ["x"]}, ["x", {"y": None}], "ü", True])
def test_a_short_value_is_one_line(value: Any) -> None:
    assert format_json(value) == json.dumps(value, ensure_ascii=False)


def test_a_line_is_broken_where_it_does_not_fit() -> None:
    """A text of 136 characters, its quotes and the brackets of the list are 140."""
    fits, breaks = ["x" * (MAX_LINE_WIDTH - 4)], ["x" * (MAX_LINE_WIDTH - 3)]
    assert format_json(fits) == json.dumps(fits)
    assert format_json(breaks) == f'[\n  "{breaks[0]}"\n]'
    assert format_json(fits, 2) == f'[\n    "{fits[0]}"\n  ]'


def test_nested_values_are_indented() -> None:
    long = "x" * MAX_LINE_WIDTH
    assert format_json({"ä": [long, "b"], "c": 1}) == (
        f'{{\n  "ä": [\n    "{long}",\n    "b"\n  ],\n  "c": 1\n}}'
    )


def test_compact_json_has_no_white_space_and_no_escapes() -> None:
    assert compact_json({"a": ["ü", 1], "b": {}}) == '{"a":["ü",1],"b":{}}'
