"""Names in expressions: which are available, and the mistakes of the others."""

from __future__ import annotations

import pytest

from rolerunner.spec.expressions import scan_template
from rolerunner.spec.scopes import find_scope_mistake


def find_mistake(name: str, *scopes: str) -> tuple[str, str]:
    ((expression),) = scan_template(f"${{{{ {name} }}}}")[0].expressions
    (reference,) = expression.references
    return find_scope_mistake(reference, scopes, ("run_date", "country"))


@pytest.mark.parametrize(
    "name", ["today", "now", "params.country", "run.id", "steps.a.count", "item", "item.key"]
)
def test_no_mistake(name: str) -> None:
    assert find_mistake(name, "params", "run", "steps", "item") == ("", "")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("today.year", "'today' has no parts", "use a filter, as in ${{ today | format('%Y') }}"),
        ("item.key", "'item' is available only in a step with for_each", ""),
        (
            "object.name",
            "'object' is available only where an action names objects, in 'name'",
            "",
        ),
        ("param.country", "'param' is not available here", "did you mean 'params'?"),
        ("zzz", "'zzz' is not available here", "known: params, run, today, now"),
        ("country", "'country' is not available here", "write params.country"),
        ("null", "'null' is not available here", "write none"),
        (
            "env",
            "'env' is not available here",
            "an expression reads no environment and no secrets: declare a param",
        ),
        ("params", "'params' needs a name after it, as in params.NAME", ""),
        ("params.contry", "there is no param 'contry'", "did you mean 'country'?"),
        ("params.zzz", "there is no param 'zzz'", ""),
        ("run.nam", "there is no 'run.nam'", "did you mean 'name'?"),
        ("run.zzz", "there is no 'run.zzz'", "known: id, name, date, time, error"),
    ],
)
def test_a_mistake_has_a_hint_where_one_is_known(name: str, message: str, hint: str) -> None:
    assert find_mistake(name, "params", "run") == (message, hint)


def test_the_names_of_an_object() -> None:
    assert find_mistake("object.name", "object") == ("", "")
    message, hint = find_mistake("object.zzz", "object")
    assert message == "there is no 'object.zzz'"
    assert hint.startswith("known: ")
