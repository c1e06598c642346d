"""The filters of ``${{ value | filter(argument) }}``: pure functions of limited time and size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from rolerunner.spec.values import parse_duration

MAX_RESULT = 1 << 20
"""Maximum length of a text or list that an expression produces."""
_MAX_NUMBER = 1 << 63


class ExpressionError(Exception):
    """A mistake in an expression; ``wrong`` and ``right`` are for a suggestion."""

    def __init__(
        self, message: str, offset: int = 0, *, wrong: str = "", right: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.wrong = wrong
        self.right = right


@dataclass(frozen=True)
class Filter:
    """A filter: its function, and the range of its number of arguments."""

    function: Callable[..., Any]
    arguments: tuple[int, int]


def check_size(value: Any) -> Any:
    """Returns the value unchanged. Raises ExpressionError if it is too large."""
    if isinstance(value, (str, list, tuple, dict)) and len(value) > MAX_RESULT:
        raise ExpressionError(f"the expression produces a value longer than {MAX_RESULT:,}")
    if isinstance(value, int) and abs(value) >= _MAX_NUMBER:
        raise ExpressionError("the expression produces a number beyond 64 bits")
    return value


def format_value(value: Any) -> str:
    """Returns the value as text. Raises ExpressionError for lists and mappings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        raise ExpressionError(
            "a list or mapping cannot be part of a text; use the filter 'json' or 'join'"
        )
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"this filter works on text, not {value!r}")
    return value


def _format(value: Any, form: str) -> str:
    """Formats a date or time as strftime does."""
    if not isinstance(value, date):  # datetime is a date
        raise ExpressionError(f"'format' works on dates and times, not {value!r}")
    return value.strftime(_text(form))


def _plus(value: Any, amount: Any) -> Any:
    """Adds to a date or time: ``1`` is a day, or '2h', '7d', '-1d'."""
    if not isinstance(value, date):
        raise ExpressionError(f"'plus' works on dates and times, not {value!r}")
    return _shifted(value, _amount(amount))


def _minus(value: Any, amount: Any) -> Any:
    """Subtracts from a date or time."""
    if not isinstance(value, date):
        raise ExpressionError(f"'minus' works on dates and times, not {value!r}")
    return _shifted(value, -_amount(amount))


def _shifted(value: date, amount: timedelta) -> date:
    if not isinstance(value, datetime) and amount % timedelta(days=1):
        raise ExpressionError(
            "a date changes by whole days only; use a time, as in ${{ now | plus('2h') }}"
        )
    return value + amount


def _amount(amount: Any) -> timedelta:
    if isinstance(amount, timedelta):
        return amount
    if isinstance(amount, int):
        return timedelta(days=amount)
    text = _text(amount)
    seconds = parse_duration(text.lstrip("-"))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def _json_default(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise ExpressionError(f"{type(value).__name__} has no JSON form")


def _json(value: Any) -> str:
    """Returns the value as JSON."""
    return json.dumps(value, default=_json_default, ensure_ascii=False, allow_nan=False)


def _replace(value: Any, old: str, new: str) -> str:
    text = _text(value)
    if len(text) + text.count(_text(old)) * len(_text(new)) > MAX_RESULT:
        raise ExpressionError(f"'replace' produces a text longer than {MAX_RESULT:,}")
    return text.replace(old, new)


def _join(value: Any, separator: str = "") -> str:
    """Joins the items of a list."""
    if not isinstance(value, (list, tuple)):
        raise ExpressionError(f"'join' works on lists, not {value!r}")
    parts = [str(part) for part in value]
    if sum(map(len, parts)) + len(parts) * len(separator) > MAX_RESULT:
        raise ExpressionError(f"'join' produces a text longer than {MAX_RESULT:,}")
    return _text(separator).join(parts)


def _default(value: Any, other: Any) -> Any:
    """Returns the value, or the other one if it is null or empty."""
    return other if value in (None, "") else value


def _length(value: Any) -> int:
    return len(value)


FILTERS: Mapping[str, Filter] = {
    "default": Filter(_default, (1, 1)),
    "format": Filter(_format, (1, 1)),
    "int": Filter(int, (0, 0)),
    "join": Filter(_join, (0, 1)),
    "json": Filter(_json, (0, 0)),
    "length": Filter(_length, (0, 0)),
    "lower": Filter(lambda value: _text(value).lower(), (0, 0)),
    "minus": Filter(_minus, (1, 1)),
    "plus": Filter(_plus, (1, 1)),
    "replace": Filter(_replace, (2, 2)),
    "split": Filter(lambda value, separator: _text(value).split(_text(separator)), (1, 1)),
    "string": Filter(str, (0, 0)),
    "trim": Filter(lambda value: _text(value).strip(), (0, 0)),
    "upper": Filter(lambda value: _text(value).upper(), (0, 0)),
}
"""Filters by name, which docs/expressions.md documents."""
