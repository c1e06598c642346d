from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.redaction.secrets import Secret, register_secret
from rolerunner.spec.expressions import (
    MAX_EXPRESSION,
    is_template,
    parse_template,
    replace_known_parts,
    scan_template,
)
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


def secret_scope() -> dict[str, Any]:
    return {
        "params": {
            "password": register_secret("hunter2-of-expressions"),
            "all": {"inner": [register_secret("second-of-expressions")]},
            "plain": "shown",
        }
    }


@pytest.mark.parametrize(
    "text",
    [
        "${{ params.password }}",
        "${{ params.password | upper }}",
        "${{ params.plain ~ params.password }}",
        "ftp://${{ params.password }}@host",
        "${{ params.password }}${{ params.plain }}",
    ],
)
def test_a_text_made_of_a_secret_is_one(text: str) -> None:
    value = parse_template(text).evaluate(secret_scope())
    assert isinstance(value, Secret)
    assert "expressions" not in repr(value)


def test_secrets_within_lists_and_mappings_are_sealed() -> None:
    listed = parse_template("${{ [params.password, 1] }}").evaluate(secret_scope())
    assert [type(each).__name__ for each in listed] == ["SecretValue", "int"]
    split = parse_template("${{ params.password | split('-') }}").evaluate(secret_scope())
    assert all(isinstance(each, Secret) for each in split)
    mapped = parse_template("${{ {'a': [params.password], 'b': 2} }}").evaluate(secret_scope())
    assert isinstance(mapped["a"][0], Secret)
    assert mapped["b"] == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ params.plain | upper }}", "SHOWN"),
        ("${{ 'set' if params.password else 'unset' }}", "set"),
        ('${{ "set" if params.password else "unset" }}', "set"),
        ("${{ params.password | length }}", 22),
        ("${{ params.password == 'x' }}", False),
        ("is ${{ params.plain }}", "is shown"),
    ],
)
def test_what_a_secret_only_decides_is_none(text: str, value: Any) -> None:
    found = parse_template(text).evaluate(secret_scope())
    assert found == value
    assert not isinstance(found, Secret)


def test_a_secret_deep_within_a_value_that_is_read_counts() -> None:
    value = parse_template("${{ params.all | string }}").evaluate(secret_scope())
    assert isinstance(value, Secret)


@pytest.mark.parametrize(
    ("text", "whole", "name"),
    [
        ("${{ params.n }}", True, "params.n"),
        ("${{params['n']}}", True, None),
        ("${{ params.n + 1 }}", True, None),
        ("${{ 1 }}", True, None),
        (" ${{ params.n }}", False, None),
        ("${{ params.n }}${{ params.n }}", False, None),
        ("plain", False, None),
        ("", False, None),
    ],
)
def test_a_text_is_one_expression_or_one_name(text: str, whole: bool, name: Any) -> None:
    template = parse_template(text)
    assert (template.whole is not None) is whole
    assert (None if template.name is None else str(template.name)) == name
    assert str(template) == text


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("ab ${{ 1", "'${{' is not closed by '}}'", 3),
        ("${{ 'open }}", "a ' is not closed inside '${{'", 4),
        ("x ${{ \"a' }}", "a \" is not closed inside '${{'", 6),
        ("a ${{   }}", "'${{ }}' is empty", 8),
        ("a ${{ 1 2 }}", "'1 2' is not one expression: '2' is left over", 6),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, message: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_template(text)
    assert (str(refused.value), refused.value.offset) == (message, offset)


def test_an_expression_has_a_place_without_its_blanks() -> None:
    template, errors = scan_template("a ${{  params.n  }} b")
    (expression,) = template.expressions
    assert (errors, expression.text, expression.offset) == ([], "params.n", 7)
    assert template.parts[0] == "a "
    assert template.parts[2] == " b"


def test_the_length_of_an_expression_is_limited() -> None:
    fits = f"${{{{{'1'.rjust(MAX_EXPRESSION)}}}}}"
    assert parse_template(fits).evaluate({}) == 1
    with pytest.raises(ExpressionError, match="longer than 2,000 characters"):
        parse_template(fits.replace("1", " 1"))


def test_an_error_of_an_operator_names_the_expression() -> None:
    with pytest.raises(ExpressionError, match=r"^'1 / 0' cannot be evaluated: division by zero$"):
        parse_template("${{ 1 / 0 }}").evaluate({})
    with pytest.raises(ExpressionError, match=r"cannot be evaluated: 'a'$"):
        parse_template("${{ {'b': 1}['a'] }}").evaluate({})


def test_an_error_without_a_text_is_named_by_its_kind() -> None:
    class Broken:
        def __add__(self, other: object) -> object:
            raise ValueError

    with pytest.raises(ExpressionError, match=r"^'it \+ 1' cannot be evaluated: ValueError$"):
        parse_template("${{ it + 1 }}").evaluate({"it": Broken()})


def test_templates_and_expressions_are_values() -> None:
    first, second = parse_template("a ${{ params.n }}"), parse_template("a ${{ params.n }}")
    assert first == second
    assert len({first, second}) == 1
    assert first != parse_template("a ${{ params.m }}")
    assert repr(first.expressions[0]).count("params") == 2, "its text and the name that it reads"
    for value in (first, first.expressions[0]):
        with pytest.raises(FrozenInstanceError):
            value.text = "b"  # type: ignore[misc]


def test_a_text_with_an_opening_is_a_template() -> None:
    assert is_template("a ${{ 1 }}")
    assert is_template("${{")
    assert not is_template("${ {1} }")


def test_a_name_that_is_not_evaluated_need_not_exist() -> None:
    for other in ("params.gone", "steps.a.b.c", "params.n.deep", "params.name.Ada.deep"):
        assert parse_template(f"${{{{ params.n or {other} }}}}").evaluate(SCOPE) == 3


def test_mistakes_before_an_expression_that_is_not_closed_are_found_too() -> None:
    template, errors = scan_template("a ${{ 1 + }} b ${{ 2 }} c ${{ 'open")
    assert [error.offset for error in errors] == [6, 30]
    assert [str(getattr(part, "text", part)) for part in template.parts] == [
        "a ",
        " b ",
        "2",
        " c ",
    ]
    with pytest.raises(ExpressionError, match="is not an expression"):
        parse_template("a ${{ 1 + }} b ${{ 'open")


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("<${{ params.n }}>", "<3>"),
        ("<${{params.n+1}}/${{ steps.gone.count }}>", "<4/${{ steps.gone.count }}>"),
        ("<${{steps.gone.count}}>", "<${{steps.gone.count}}>"),
        ("<${{ params.list }}>", "<${{ params.list }}>"),
        ("${{ params.n }}", "${{ params.n }}"),
        ("plain", "plain"),
    ],
)
def test_known_parts_of_a_text_are_replaced(text: str, replaced: str) -> None:
    template = parse_template(text)
    found = replace_known_parts(template, SCOPE)
    assert str(found) == replaced
    assert (found is template) is (text == replaced)
    assert found.references == parse_template(replaced).references


def test_a_secret_is_not_replaced_in_a_text() -> None:
    template = parse_template("${{ params.plain }} ${{ params.password }}")
    found = replace_known_parts(template, secret_scope())
    assert str(found) == "shown ${{ params.password }}"
