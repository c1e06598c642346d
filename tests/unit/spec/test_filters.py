"""The filters of expressions, and the limits of what an expression produces."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest

from rolerunner.spec.expressions import parse_template
from rolerunner.spec.filters import (
    FILTERS,
    MAX_RESULT,
    ExpressionError,
    check_size,
    format_value,
)

DAY = date(2026, 1, 31)
TIME = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
SCOPE: dict[str, Any] = {
    "params": {
        "day": DAY,
        "time": TIME,
        "week": timedelta(days=7),
        "hour": timedelta(hours=1),
        "text": " Ada ",
        "empty": "",
        "none": None,
        "zero": 0,
        "no": False,
        "list": ["a", 1],
        "tuple": ("a", "b"),
        "map": {"day": DAY},
        "proxy": MappingProxyType({"a": 1}),
        "nan": float("nan"),
    }
}


def evaluate(expression: str) -> Any:
    return parse_template(f"${{{{ {expression} }}}}").evaluate(SCOPE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("params.day | plus(1)", date(2026, 2, 1)),
        ("params.day | plus('-1d')", date(2026, 1, 30)),
        ("params.day | minus('-1d')", date(2026, 2, 1)),
        ("params.day | plus('24h')", date(2026, 2, 1)),
        ("params.day | plus(params.week)", date(2026, 2, 7)),
        ("params.day | minus(params.week)", date(2026, 1, 24)),
        ("params.time | plus('2h')", TIME + timedelta(hours=2)),
        ("params.time | minus('90s')", TIME - timedelta(seconds=90)),
        ("params.time | plus(1)", TIME + timedelta(days=1)),
        ("params.time | format('%H:%M')", "12:00"),
        ("params.none | default(1)", 1),
        ("params.empty | default(1)", 1),
        ("params.zero | default(1)", 0),
        ("params.no | default(1)", False),
        ("params.text | trim", "Ada"),
        ("params.text | lower", " ada "),
        ("params.text | replace('a', '')", " Ad "),
        ("params.text | length", 5),
        ("'a,b' | split(',')", ["a", "b"]),
        ("'7' | int", 7),
        ("7 | string", "7"),
        ("params.list | join", "a1"),
        ("params.list | join(', ')", "a, 1"),
        ("params.tuple | join('+')", "a+b"),
        ("params.map | json", '{"day": "2026-01-31"}'),
        ("params.time | json", '"2026-01-31T12:00:00+00:00"'),
        ("params.proxy | json", '{"a": 1}'),
        ("'ü' | json", '"ü"'),
    ],
)
def test_a_filter_returns_its_value(expression: str, expected: Any) -> None:
    found = evaluate(expression)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("params.day | plus('1h')", "a date changes by whole days only"),
        ("params.day | plus(params.hour)", "a date changes by whole days only"),
        ("params.text | plus(1)", "'plus' works on dates and times, not ' Ada '"),
        ("params.text | minus(1)", "'minus' works on dates and times, not ' Ada '"),
        ("params.text | format('%Y')", "'format' works on dates and times, not ' Ada '"),
        ("params.day | format(1)", "this filter works on text, not 1"),
        ("params.day | plus(none)", "this filter works on text, not None"),
        ("params.zero | upper", "this filter works on text, not 0"),
        ("'a' | split(1)", "this filter works on text, not 1"),
        ("'a' | replace(1, 'x')", "this filter works on text, not 1"),
        ("'a' | replace('x', 1)", "this filter works on text, not 1"),
        ("params.text | join", "'join' works on lists, not ' Ada '"),
        ("params.week | json", "timedelta has no JSON form"),
        ("params.nan | json", "Out of range float values are not JSON compliant"),
        ("'x' | int", "'x' | int' cannot be evaluated: invalid literal"),
    ],
)
def test_a_filter_refuses_other_values(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        evaluate(expression)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("params.text | trim(1)", "the filter 'trim' takes 0 argument(s), not 1"),
        ("params.text | default", "the filter 'default' takes 1 argument(s), not 0"),
        ("params.text | default(1, 2)", "the filter 'default' takes 1 argument(s), not 2"),
        ("params.list | join(1, 2)", "the filter 'join' takes 0 to 1 argument(s), not 2"),
        ("params.text | replace('a')", "the filter 'replace' takes 2 argument(s), not 1"),
        ("params.day | format", "the filter 'format' takes 1 argument(s), not 0"),
        ("params.day | plus", "the filter 'plus' takes 1 argument(s), not 0"),
        ("params.day | minus(1, 2)", "the filter 'minus' takes 1 argument(s), not 2"),
        ("'a' | split", "the filter 'split' takes 1 argument(s), not 0"),
        ("1 | string(1)", "the filter 'string' takes 0 argument(s), not 1"),
        ("'1' | int(2)", "the filter 'int' takes 0 argument(s), not 1"),
        ("'1' | length(2)", "the filter 'length' takes 0 argument(s), not 1"),
        ("'1' | json(2)", "the filter 'json' takes 0 argument(s), not 1"),
        ("'1' | lower(2)", "the filter 'lower' takes 0 argument(s), not 1"),
        ("'1' | upper(2)", "the filter 'upper' takes 0 argument(s), not 1"),
    ],
)
def test_the_number_of_arguments_is_checked_when_the_spec_is_loaded(
    expression: str, message: str
) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_template(f"${{{{ {expression} }}}}")
    assert str(refused.value) == message


def test_the_arguments_of_each_filter_are_counted() -> None:
    assert {name: each.arguments for name, each in FILTERS.items()} == {
        **dict.fromkeys(("int", "json", "length", "lower", "string", "trim", "upper"), (0, 0)),
        **dict.fromkeys(("default", "format", "minus", "plus", "split"), (1, 1)),
        "join": (0, 1),
        "replace": (2, 2),
    }


def test_an_error_is_at_the_start_unless_it_says_where() -> None:
    error = ExpressionError("wrong")
    assert (error.offset, error.wrong, error.right) == (0, "", ())


@pytest.mark.parametrize("kind", [lambda size: "x" * size, lambda size: [0] * size])
def test_a_value_of_exactly_the_limit_is_kept(kind: Any) -> None:
    assert len(check_size(kind(MAX_RESULT))) == 1_048_576
    with pytest.raises(ExpressionError, match="a value longer than 1,048,576"):
        check_size(kind(MAX_RESULT + 1))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_has_64_bits(sign: int) -> None:
    largest = 2**63 - 1
    assert check_size(sign * largest) == sign * largest
    with pytest.raises(ExpressionError, match="a number beyond 64 bits"):
        check_size(sign * (largest + 1))


def test_a_replacement_is_measured_before_it_is_made() -> None:
    scope = {"text": "a" * 1024, "fits": "x" * 1023, "long": "x" * 1024}
    made = parse_template("${{ text | replace('a', fits) }}").evaluate(scope)
    assert len(made) == 1024 * 1023
    with pytest.raises(ExpressionError, match="'replace' produces a text longer than 1,048,576"):
        parse_template("${{ text | replace('a', long) }}").evaluate(scope)


def test_a_join_is_measured_before_it_is_made() -> None:
    scope = {"list": ["x" * 2046] * 512, "longer": ["x" * 2047] * 512}
    made = parse_template("${{ list | join('--') }}").evaluate(scope)
    assert len(made) == MAX_RESULT - 2
    with pytest.raises(ExpressionError, match="'join' produces a text longer than 1,048,576"):
        parse_template("${{ longer | join('--') }}").evaluate(scope)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (None, ""), (1.5, "1.5"), (DAY, str(DAY))]
)
def test_a_value_within_a_text(value: Any, text: str) -> None:
    assert format_value(value) == text
    assert parse_template("<${{ value }}>").evaluate({"value": value}) == f"<{text}>"


@pytest.mark.parametrize("value", [[], {}])
def test_a_list_or_mapping_is_no_part_of_a_text(value: Any) -> None:
    with pytest.raises(ExpressionError, match="cannot be part of a text"):
        parse_template("<${{ value }}>").evaluate({"value": value})
