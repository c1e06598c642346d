"""The filters of ``${{ value | filter(argument) }}``: pure functions, bounded in time and size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from rolerunner.spec.values import parse_duration

MAX_RESULT = 1 << 20
"""Longest text or list that an expression may make."""
_MAX_NUMBER = 1 << 63


class ExpressionError(Exception):
    """An expression is wrong. ``wrong`` and ``right`` feed the nearest right name."""

    def __init__(
        self, message: str, offset: int = 0, *, wrong: str = "", right: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.wrong = wrong
        self.right = right


@dataclass(frozen=True)
class Filter:
    """A filter: its function, and how many arguments it takes besides the value."""

    function: Callable[..., Any]
    arguments: tuple[int, int]


def check_size(value: Any) -> Any:
    """The value, if it is small enough. Raises ExpressionError."""
    if isinstance(value, (str, list, tuple, dict)) and len(value) > MAX_RESULT:
        raise ExpressionError(f"an expression made a value longer than {MAX_RESULT:,}")
    if isinstance(value, int) and abs(value) >= _MAX_NUMBER:
        raise ExpressionError("an expression made a number beyond 64 bits")
    return value


def format_value(value: Any) -> str:
    """The value as it stands inside a text. Raises ExpressionError for what has no text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        raise ExpressionError(
            "a list or mapping cannot stand inside a text; use the filter 'json' or 'join'"
        )
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"this filter works on text, not {value!r}")
    return value


def _format(value: Any, form: str) -> str:
    """A date or time in strftime's form."""
    if not isinstance(value, date):  # datetime is a date
        raise ExpressionError(f"'format' works on dates and times, not {value!r}")
    return value.strftime(_text(form))


def _plus(value: Any, amount: Any) -> Any:
    """A date or time so much later: ``1`` is a day, or write '2h', '7d', '-1d'."""
    if not isinstance(value, date):
        raise ExpressionError(f"'plus' works on dates and times, not {value!r}")
    return _shifted(value, _amount(amount))


def _minus(value: Any, amount: Any) -> Any:
    """A date or time so much earlier."""
    if not isinstance(value, date):
        raise ExpressionError(f"'minus' works on dates and times, not {value!r}")
    return _shifted(value, -_amount(amount))


def _shifted(value: date, amount: timedelta) -> date:
    if not isinstance(value, datetime) and amount % timedelta(days=1):
        raise ExpressionError(
            "a date is shifted by whole days; shift a time instead, as in ${{ now | plus('2h') }}"
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
    """The value as JSON text."""
    return json.dumps(value, default=_json_default, ensure_ascii=False, allow_nan=False)


def _replace(value: Any, old: str, new: str) -> str:
    text = _text(value)
    if len(text) + text.count(_text(old)) * len(_text(new)) > MAX_RESULT:
        raise ExpressionError(f"'replace' would make a text longer than {MAX_RESULT:,}")
    return text.replace(old, new)


def _join(value: Any, separator: str = "") -> str:
    """A list of texts as one text."""
    if not isinstance(value, (list, tuple)):
        raise ExpressionError(f"'join' works on lists, not {value!r}")
    parts = [str(part) for part in value]
    if sum(map(len, parts)) + len(parts) * len(separator) > MAX_RESULT:
        raise ExpressionError(f"'join' would make a text longer than {MAX_RESULT:,}")
    return _text(separator).join(parts)


def _default(value: Any, other: Any) -> Any:
    """The value, or the other where it is null or empty."""
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
"""Name -> filter. Each is documented in docs/expressions.md."""
