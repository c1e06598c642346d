"""Single values of a run: patterns, and how values differ."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.spec_testing.mismatches import (
    compare_values,
    find_pattern,
    format_value,
    matches_pattern,
)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a", "cat", True),
        ("c*t", "cat", True),
        ("t*c", "cat", False),
        ("a.c", "abc", False),
        ("a*c", "a\nc", True),
        ("", "", True),
    ],
)
def test_pattern(pattern: str, text: str, *, matches: bool) -> None:
    assert matches_pattern(pattern, text) is matches


def test_a_long_value_is_truncated() -> None:
    assert format_value({"a": 1}) == '{"a": 1}'
    assert format_value("x" * 498) == '"' + "x" * 498 + '"'
    assert format_value("x" * 499).endswith("... (501 characters)")


@pytest.mark.parametrize(
    ("expected", "actual", "differs"),
    [
        (1, 1, False),
        (1, 2, True),
        (True, 1, True),  # JSON has both
        (0, False, True),
        (1, 1.0, False),
        (["a"], ["a"], False),
        (["a"], ["a", "b"], True),
        ([True], [1], True),
        ({"a": [0]}, {"a": [False]}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, False),
        ({"a": None}, {}, True),
        (None, "x", True),
    ],
)
def test_values_that_differ(expected: Any, actual: Any, differs: bool) -> None:
    found = list(compare_values("steps.a", expected, actual, "why"))
    assert [(each.what, each.expected, each.detail) for each in found] == (
        [("steps.a", format_value(expected), "why")] if differs else []
    )


def test_a_text_without_the_pattern() -> None:
    assert list(find_pattern("error", None, "x")) == []
    assert list(find_pattern("error", "a*c", "abc")) == []
    (empty,) = find_pattern("error", "a", "")
    (other,) = find_pattern("error", "a", "x")
    assert (empty.expected, empty.seen, other.seen) == ('a text with "a"', "no text", '"x"')
