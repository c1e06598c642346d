"""Unquoted scalars of YAML 1.2: null, booleans, numbers and text."""

from __future__ import annotations

import pytest

from rolerunner.spec.scalars import parse_scalar


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null(text: str) -> None:
    assert parse_scalar(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False)],
)
def test_booleans(text: str, value: bool) -> None:
    assert parse_scalar(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("+7", 7),
        ("-7", -7),
        ("9" * 40, int("9" * 40)),
        ("1.", 1.0),
        (".5", 0.5),
        ("-0.5e-3", -0.0005),
    ],
)
def test_numbers(text: str, value: float) -> None:
    found = parse_scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        *("no", "on", "yes", "tRue", "nUll", "0777", "012345670123", "01.5", "1:30", "0x1f"),
        *("1_000", "9" * 41, "1e999", "-1e999", ".inf", ".nan", ".", "1\n", "+", "2026-01-31"),
    ],
)
def test_all_else_is_text(text: str) -> None:
    assert parse_scalar(text) == text
