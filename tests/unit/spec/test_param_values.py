"""Values of params: each type, their limits, and patterns."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec.param_values import check_pattern, matches_pattern, parse_param
from rolerunner.spec.schema import ParamFields

UTC = timezone.utc


def declare(**fields: Any) -> ParamFields:
    return ParamFields.model_validate(fields)


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("string", "", ""),
        ("integer", 7, 7),
        ("integer", " -7 ", -7),
        ("integer", "9" * 18, int("9" * 18)),
        ("number", 2, 2),
        ("number", "2.5", 2.5),
        ("boolean", True, True),
        ("boolean", " YES ", True),
        ("boolean", 1, True),
        ("boolean", "off", False),
        ("date", date(2026, 1, 31), date(2026, 1, 31)),
        ("date", " 2026-01-31 ", date(2026, 1, 31)),
        ("datetime", "2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("datetime", "2026-01-31T06:00:00Z", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (
            "datetime",
            "2026-01-31T06:00:00+02:00",
            datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("duration", 90, 90.0),
        ("duration", "1m", 60.0),
        ("size", 5, 5),
        ("size", "1KiB", 1024),
        ("list", ["a", 1], ["a", 1]),
        ("list", "", []),
        ("list", " a , b,,", ["a", "b"]),
        ("list", '["a", 1]', ["a", 1]),
    ],
)
def test_values_of_each_type(kind: str, value: Any, result: Any) -> None:
    found = parse_param(declare(type=kind), value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("string", 5, "must be text, not 5; put it in quotes"),
        ("string", True, "must be text, not true; put it in quotes"),
        ("integer", True, "must be a whole number, not true"),
        ("integer", "9" * 19, f"must be a whole number, not '{'9' * 19}'"),
        ("integer", "1.0", "must be a whole number, not '1.0'"),
        ("integer", 1.0, "must be a whole number, not 1.0"),
        ("number", True, "must be a number, not true"),
        ("number", "many", "must be a number, not 'many'"),
        ("number", "nan", "must be a number, not 'nan'"),
        ("number", float("inf"), "must be a number, not inf"),
        ("number", "-inf", "must be a number, not '-inf'"),
        ("boolean", "2", "must be true or false, not '2'"),
        ("date", "2026-02-30", "must be a date such as 2026-01-31, not '2026-02-30'"),
        (
            "date",
            datetime(2026, 1, 31, tzinfo=UTC),
            "must be a date such as 2026-01-31, not '2026-01-31 00:00:00+00:00'",
        ),
        ("datetime", "noon", "must be a time such as 2026-01-31T06:00:00Z, not 'noon'"),
        ("duration", True, "must be a duration such as 30s or 2h, not true"),
        ("size", 1.5, "must be a size such as 16MiB or 5GB, not 1.5"),
        ("size", True, "must be a size such as 16MiB or 5GB, not true"),
        ("list", 5, "must be a list, not 5"),
        ("list", "[a", 'must be a list such as a,b or ["a", "b"], not \'[a\''),
    ],
)
def test_other_values_are_errors(kind: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse_param(declare(type=kind), value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "value", "message"),
    [
        ({"type": "integer", "min": 2, "max": 2}, 2, ""),
        ({"type": "integer", "min": 2}, 1, "must be at least 2, not 1"),
        ({"type": "integer", "max": 2}, 3, "must be at most 2, not 3"),
        ({"min": 2, "max": 2}, "ab", ""),
        ({"min": 2}, "a", "must be at least 2 characters, not 1"),
        ({"max": 2}, "abc", "must be at most 2 characters, not 3"),
        ({"type": "list", "min": 1}, "", "must be at least 1 values, not 0"),
        ({"type": "list", "max": 1}, "a,b", "must be at most 1 values, not 2"),
        ({"type": "duration", "max": "1m"}, "1m", ""),
        ({"type": "duration", "max": "1m"}, "61s", "must be at most 1m, not 61.0"),
        ({"type": "date", "min": "2026-01-31"}, "2026-01-31", ""),
        (
            {"type": "date", "min": "2026-01-31"},
            "2026-01-30",
            "must be at least 2026-01-31, not '2026-01-30'",
        ),
        ({"pattern": "a|b"}, "b", ""),
        ({"pattern": "a|b"}, "ab", "must match a|b, unlike 'ab'"),
        ({"type": "integer", "choices": [1, "2"]}, "2", ""),
        ({"type": "integer", "choices": [1, 2]}, "3", "must be one of 1, 2, not 3"),
        ({"type": "choice", "choices": ["a"]}, "a", ""),
    ],
)
def test_limits(fields: dict[str, Any], value: Any, message: str) -> None:
    if not message:
        parse_param(declare(**fields), value)
        return
    with pytest.raises(ValueError, match="must ") as caught:
        parse_param(declare(**fields), value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("[a-z]+", "ab", True),
        ("[a-z]+", "ab1", False),
        ("[a-z]+", "1ab", False),
        ("a", "a\n", False),
        ("", "", True),
        ("(a*)*b", "a" * 5000, False),
    ],
)
def test_the_whole_text_matches_in_linear_time(pattern: str, text: str, expected: bool) -> None:
    assert matches_pattern(pattern, text) is expected


def test_patterns_are_checked() -> None:
    assert check_pattern("[a-z]+") == "[a-z]+"
    assert check_pattern(None) is None
    with pytest.raises(ValueError, match="is not a valid regular expression: ") as caught:
        check_pattern("(?=a)")
    assert str(caught.value).endswith("(look-around and back-references are not supported)")
    with pytest.raises(ValidationError):
        declare(pattern="(")
