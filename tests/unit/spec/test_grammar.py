"""The grammar of expressions: operators, names, and what is refused when a spec is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.spec import grammar
from rolerunner.spec.expressions import parse_template, scan_template
from rolerunner.spec.filters import FILTERS, ExpressionError
from rolerunner.spec.grammar import parse_expression

SCOPE: dict[str, Any] = {
    "n": 7,
    "no": False,
    "text": "Ada",
    "list": [1, 2],
    "map": {"key": {"inner": 1}, "other": 2},
}


def evaluate(expression: str) -> Any:
    return parse_expression(expression, 0).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("n + 2", 9),
        ("n - 2", 5),
        ("n * 2", 14),
        ("n / 2", 3.5),
        ("n // 2", 3),
        ("n % 4", 3),
        ("1.5 * n", 10.5),
        ("-n", -7),
        ("+n", 7),
        ("n == 7", True),
        ("n != 7", False),
        ("n < 7", False),
        ("n <= 7", True),
        ("n > 7", False),
        ("n >= 7", True),
        ("1 < n < 8", True),
        ("1 < n < 5", False),
        ("8 < n < 9", False),
        ("1 in list", True),
        ("1 not in list", False),
        ("no and n", False),
        ("n and text", "Ada"),
        ("no or n", 7),
        ("n or text", 7),
        ("not no", True),
        ("'a' ~ n ~ no", "a7false"),
        ("(1, n)", [1, 7]),
        ("{'a': n}", {"a": 7}),
        ("'x' if no", None),
        ("'x' if n", "x"),
        ("list[-1]", 2),
        ("{'a': 1}['a']", 1),
        ("map['key'].inner", 1),
        ("map['other']", 2),
    ],
)
def test_operators_keep_native_types(expression: str, expected: Any) -> None:
    found = evaluate(expression)
    assert found == expected
    assert type(found) is type(expected)


def test_the_second_side_is_evaluated_only_where_it_counts() -> None:
    assert evaluate("no and map.missing") is False
    assert evaluate("n or map.missing") == 7
    assert evaluate("n if n else map.missing") == 7


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'x' * 2", "both sides must be numbers for '*'"),
        ("2 * 'x'", "both sides must be numbers for '*'"),
        ("2 % 'x'", "both sides must be numbers for '%'"),
        ("'%d' % 2", "both sides must be numbers for '%'"),
        ("map.missing", "there is no 'map.missing'"),
        ("missing.key", "there is no 'missing'"),
        ("n.key", "'n' has no parts, so 'n.key' does not exist"),
        ("map.other.deep.er", "'map.other' has no parts, so 'map.other.deep.er' does not exist"),
    ],
)
def test_a_value_that_does_not_exist_is_named(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        evaluate(expression)
    assert str(refused.value) == message


def test_the_names_beside_a_wrong_one_are_known() -> None:
    with pytest.raises(ExpressionError) as refused:
        evaluate("map.kye")
    assert (refused.value.wrong, refused.value.right) == ("kye", ("key", "other"))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("len(n)", "calls are not allowed; use a filter, as in ${{ run.date | format('%Y') }}"),
        ("n ** 2", "'**' is not allowed"),
        ("list[0:1]", "slices are not allowed"),
        ("n is defined", "'is' tests are not allowed; compare with == instead"),
        ("'x'.upper", "'.upper' must follow a name such as params or steps.ID"),
        ("(n + 1).real", "'.real' must follow a name such as params or steps.ID"),
        ("list[n].real", "'.real' must follow a name such as params or steps.ID"),
        ("text | default(other=1)", "the filter 'default' takes plain arguments only"),
        ("text | default(*list)", "the filter 'default' takes plain arguments only"),
        ("text | default(**map)", "the filter 'default' takes plain arguments only"),
        ("1 2", "'1 2' is not one expression: '2' is left over"),
        (" 1 + ", "'1 +' is not an expression: "),
        ("n + len(n)", "calls are not allowed"),
    ],
)
def test_what_is_refused_is_named_with_its_place(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_expression(expression, 5)
    assert str(refused.value).startswith(message)
    assert refused.value.offset == 5


def test_a_node_of_a_later_jinja_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "_REFUSED", {})
    with pytest.raises(ExpressionError, match=r"^Pow is not allowed in an expression$"):
        parse_expression("n ** 2", 0)


def test_a_wrong_filter_is_named_with_the_right_ones() -> None:
    with pytest.raises(ExpressionError, match="there is no filter 'uper'") as refused:
        parse_expression("text | uper", 3)
    error = refused.value
    assert (error.wrong, error.right, error.offset) == ("uper", tuple(FILTERS), 3)


def test_deep_nesting_is_refused_at_its_place() -> None:
    with pytest.raises(ExpressionError, match="an expression is nested too deeply") as refused:
        parse_expression("(" * 2000 + "1" + ")" * 2000, 4)
    assert refused.value.offset == 4


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("steps['find-it'].count", ["steps.find-it.count"]),
        ("list[n]", ["list", "n"]),
        ("list[0]", ["list"]),
        ("map.key | default(other)", ["map.key", "other"]),
        ("a if b else c", ["b", "a", "c"]),
        ("1", []),
    ],
)
def test_the_names_that_an_expression_reads(expression: str, names: list[str]) -> None:
    references = parse_expression(expression, 0).references
    assert sorted(map(str, references)) == sorted(names)


def test_every_mistake_of_a_text_is_found() -> None:
    template, errors = scan_template("a ${{ n + }} b ${{ n }} c ${{ len(n) }} d")
    assert [error.offset for error in errors] == [6, 30]
    assert [str(part) if isinstance(part, str) else part.text for part in template.parts] == [
        "a ",
        " b ",
        "n",
        " c ",
        " d",
    ]
    assert parse_template("${{ n }}").whole is not None
