from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.spec.expressions import parse_template
from rolerunner.spec.filters import ExpressionError

SCOPE: dict[str, Any] = {
    "params": {"n": 3, "name": "Ada", "day": date(2026, 1, 31), "list": ["a", "b"], "none": None},
    "steps": {"find-it": {"count": 7, "status": "succeeded"}},
    "run": {"id": "r1", "time": datetime(2026, 1, 31, 12, tzinfo=timezone.utc)},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ params.n }}", 3),
        ("n is ${{ params.n }}", "n is 3"),
        ("${{ params.n + 1 }} and ${{ params.name | upper }}", "4 and ADA"),
        ("${{ params.n > 2 and steps['find-it'].count == 7 }}", True),
        ("${{ 'x' if params.n > 5 else 'y' }}", "y"),
        ("${{ params.day | minus(1) }}", date(2026, 1, 30)),
        ("${{ params.day | plus('7d') | format('%Y/%m/%d') }}", "2026/02/07"),
        ("${{ params.list | join('-') }}", "a-b"),
        ("${{ params.list[1] }}", "b"),
        ("${{ params.none | default('-') }}", "-"),
        ("${{ [1, params.n] }}", [1, 3]),
        ("${{ {'a': params.n} | json }}", '{"a": 3}'),
        ("${{ '}}' }}", "}}"),
        ("${{ not params.none }}", True),
        ("${{ 'a' in params.list }}", True),
        ("${{ params.name ~ params.n }}", "Ada3"),
        ("plain", "plain"),
    ],
)
def test_expressions_keep_native_types(text: str, value: object) -> None:
    found = parse_template(text).evaluate(SCOPE)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "${{ params.__class__ }}",
        "${{ ''.__class__ }}",
        "${{ (1).real }}",
        "${{ params.name.upper() }}",
        "${{ range(10) }}",
        "${{ 9 ** 99999999 }}",
        "${{ 'x' * 999999999 }}",
        "${{ '%0999999999d' % 1 }}",
        "${{ params.name[0:2] }}",
        "${{ params.name | nosuch }}",
        "${{ params.name | replace('a') }}",
        "${{ 1 / 0 }}",
        "${{ 9223372036854775807 * 2 }}",
        "${{ params.day - 'x' }}",
        "${{ }}",
        "${{ 1 +  }}",
        "${{ 1 2 }}",
        "${{ 'open }}",
        "${{ 1",
        "${{ " + "(" * 900 + "1" + ")" * 900 + " }}",
        "${{ " + "1+" * 1500 + "1 }}",
        "${{ self }}",
        "${{ lipsum.__globals__ }}",
    ],
)
def test_there_is_no_way_out(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_template(text).evaluate(SCOPE)


def test_references_are_known_before_anything_runs() -> None:
    template = parse_template("${{ steps['find-it'].count + params.n }}/${{ run.id }}")
    assert [str(reference) for reference in template.references] == [
        "steps.find-it.count",
        "params.n",
        "run.id",
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("${}()[].|+-*/%~'\"abparms 123<>=!,:"), max_size=40))
def test_no_text_makes_the_parser_crash(text: str) -> None:
    try:
        parse_template("${{ " + text + " }}").evaluate(SCOPE)
    except ExpressionError as error:
        assert str(error)
