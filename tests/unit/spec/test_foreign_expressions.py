"""Names, filters and operators of other tools' expressions: each has a hint."""

from __future__ import annotations

import pytest

from rolerunner.spec.expressions import scan_template
from rolerunner.spec.filters import FILTERS
from rolerunner.spec.foreign_expressions import (
    _FILTERS,
    suggest_date_form,
    suggest_filter,
    suggest_foreign_name,
    suggest_operator,
)


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("params.a && params.b", "is not an expression", "write 'and' for '&&'"),
        ("params.a || params.b", "", "write 'or' for '||'"),
        ("!params.a", "is not an expression", "write 'not' for '!'"),
        ("params.a ? 1 : 2", "is not an expression", "write A if CONDITION else B"),
        ("$.params.a", "is not an expression", "write a name without '$', as in params.NAME"),
        ("params.a = 1", "'=' is left over", "write '==' to compare"),
        ("params.a != ", "is not an expression", ""),
        ("'a && b' +", "is not an expression", ""),
        ("params.a | strftime('%Y')", "no filter 'strftime'", "write format('%Y/%m/%d')"),
        ("params.a | uper", "no filter 'uper'", "did you mean 'upper'?"),
        ("params.a | zzz", "no filter 'zzz'", f"known: {', '.join(FILTERS)}"),
        ("always()", "calls are not allowed", "write when: always"),
        ("now()", "calls are not allowed", "write now, without '()'"),
        ("zzz()", "calls are not allowed", ""),
        ("run.date | format('YYYY-MM-DD')", "not 'YYYY-MM-DD'", "write '%Y-%m-%d'"),
        ("run.date | format('yyyy/MM/dd/HH')", "not 'yyyy/MM/dd/HH'", "write '%Y/%m/%d/%H'"),
    ],
)
def test_an_expression_of_another_tool(expression: str, message: str, hint: str) -> None:
    _, (error,) = scan_template(f"${{{{ {expression} }}}}")
    assert message in str(error)
    assert error.hint == hint


@pytest.mark.parametrize("form", ["%Y/%m/%d", "%d", "week-%V", "daily", "added", "year=%Y"])
def test_other_forms_of_dates_are_kept(form: str) -> None:
    assert suggest_date_form(form) == ""
    assert scan_template(f"${{{{ run.date | format('{form}') }}}}")[1] == []


def test_a_param_comes_before_the_names_of_other_tools() -> None:
    assert suggest_foreign_name("env", ["env"]) == "write params.env"
    assert suggest_foreign_name("secrets", ["env"]).endswith("declare a param")
    assert suggest_foreign_name("zzz", ["env"]) == ""


def test_each_filter_that_is_suggested_exists() -> None:
    for name in _FILTERS:
        assert name not in FILTERS, name
        suggested = suggest_filter(name.upper()).removeprefix("write ").partition("(")[0]
        assert suggested in FILTERS or "index" in suggested, name


def test_an_expression_without_foreign_operators_has_no_hint() -> None:
    assert suggest_operator("params.a >= 1 and params.b <= 2 or params.c != 3") == ""
