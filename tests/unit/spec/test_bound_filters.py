"""Filters whose arguments are constant return and raise what the filters do."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from rolerunner.spec.bound_filters import bind_filter
from rolerunner.spec.filters import FILTERS, MAX_RESULT, ExpressionError, check_size

_LATE = datetime(2026, 1, 31, 23, 59, 58, 999999, tzinfo=timezone.utc)
_VALUES: tuple[Any, ...] = (
    _LATE,
    _LATE.astimezone(timezone(timedelta(hours=1))),
    _LATE.replace(tzinfo=None),
    _LATE.replace(year=987),
    _LATE + timedelta(days=1),
    date(2026, 1, 31),
    "a b:c",
    "",
    7,
    None,
)
_FORMS = (
    "%Y/%m/%d",
    "%Y",
    "dt=%Y-%m-%d/h=%H",
    "%Y%m%dT%H%M%S",
    "%%Y %d%%",
    "%Y %j %z",
    "%-d.%m",
    "%Y%",
    "none",
    "",
)


def call(function: Any, *arguments: Any) -> Any:
    """Returns a result, or the text of an error."""
    try:
        return function(*arguments)
    except (ExpressionError, ValueError) as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("format", (form,)) for form in _FORMS),
        ("format", (1,)),
        ("replace", (" ", "_")),
        ("replace", ("", "--")),
        ("replace", (":", "")),
        ("replace", (1, "x")),
        ("lower", ()),
        ("split", (" ",)),
    ],
)
def test_the_results_are_those_of_the_filter(name: str, arguments: tuple[Any, ...]) -> None:
    bound = bind_filter(name, arguments)
    for value in (*_VALUES, *_VALUES):  # the second time some are remembered
        expected = call(lambda value=value: check_size(FILTERS[name].function(value, *arguments)))
        assert call(bound, value) == expected, value


@pytest.mark.parametrize(("old", "length"), [("a", MAX_RESULT // 2 + 1), ("", MAX_RESULT // 3)])
def test_a_text_that_becomes_too_long_is_refused(old: str, length: int) -> None:
    replace = bind_filter("replace", (old, "xx"))
    with pytest.raises(ExpressionError, match="'replace' produces a text longer than"):
        replace("a" * length)
    assert replace("a" * 1000) == ("a" * 1000).replace(old, "xx")
