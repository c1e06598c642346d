"""Tests how a case's expectations are compared."""

from __future__ import annotations

import pytest

from rolerunner.spec_testing.compare import format_value, matches_pattern


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
