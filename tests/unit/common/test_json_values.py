from __future__ import annotations

import json
import math
from datetime import date, datetime, timezone
from typing import Any, NoReturn

import pytest

from rolerunner.common.json_values import (
    MAX_DEPTH,
    check_json,
    json_text,
    json_value,
    read_json,
    safe_text,
)


class Hostile:
    def __str__(self) -> str:
        raise GeneratorExit


class HostileMapping(dict[str, int]):
    def items(self) -> NoReturn:
        raise KeyError


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def strict(text: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ("a\ud83d", "a\ufffd"),
        (b"abc", "abc"),
        (b"\xff", "/w=="),
        ({1, 2}, [1, 2]),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, tzinfo=timezone.utc), "2026-01-31T00:00:00+00:00"),
        (
            {1: "a", None: "b", False: "c", "x\udc80": 1},
            {"1": "a", "null": "b", "false": "c", "x\ufffd": 1},
        ),
        ({(1, 2): 3}, {"(1, 2)": 3}),
    ],
)
def test_values_of_any_kind_become_plain(value: Any, expected: Any) -> None:
    shown = json_value(value)
    assert shown == expected
    assert strict(json_text(shown)) == expected
    json_text(shown).encode()


@pytest.mark.parametrize(
    "value",
    [
        Hostile(),
        HostileMapping(a=1),
        {Hostile(): Hostile()},
        10**5000,
        object(),
        nested(100_000),
        lambda: 0,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_makes_the_conversion_fail(value: Any) -> None:
    assert strict(json_text(json_value({"value": value})))


def test_large_values_are_cut_and_counted() -> None:
    shown = json_value(
        {"numbers": list(range(1_000_000)), "text": "x" * 1_000}, most_values=100, most_text=10_000
    )
    assert len(shown["numbers"]) < 101
    assert "more)" in shown["numbers"][-1]
    assert json_value("x" * 1_000, most_text=10) == "xxxxxxxxxx... (1,000 characters)"


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        '{"a": [Infinity]}',
        "1e999",
        "[" * 900 + "]" * 900,
        "[" * 100_000 + "]" * 100_000,
        "1" * 5_000,
        "{",
        "",
    ],
    ids=range(8),
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [math.nan]}},
        {"a": {1, 2}},
        b"x",
        {(1, 2): 3},
        10**5000,
        nested(MAX_DEPTH + 1),
        object(),
    ],
    ids=range(7),
)
def test_the_strict_check_refuses_what_json_cannot_hold(value: Any) -> None:
    with pytest.raises(ValueError):
        check_json(value)


def test_the_strict_check_names_the_place() -> None:
    with pytest.raises(ValueError, match=r"at 'a\.b\[1\]': nan is not a JSON value"):
        check_json({"a": {"b": [1, math.nan]}})


def test_half_a_surrogate_pair_survives_as_its_escape() -> None:
    assert read_json(json_text({"a": "\ud83d"})) == {"a": "\ud83d"}


def test_text_of_an_object_whose_str_raises() -> None:
    assert "GeneratorExit" in safe_text(Hostile())
