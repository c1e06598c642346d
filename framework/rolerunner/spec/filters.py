"""The filters of ``${{ value | filter(argument) }}``: pure functions of limited time and size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.values import parse_duration, suggest_name

MAX_RESULT = 1 << 20
"""Maximum length of a text or list that an expression produces."""
_MAX_NUMBER = 1 << 63


class ExpressionError(Exception):
    """A mistake in an expression; ``wrong`` and ``right`` are for a suggestion."""

    def __init__(
        self,
        message: str,
        offset: int = 0,
        *,
        wrong: str = "",
        right: tuple[str, ...] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.wrong = wrong
        self.right = right
        self._hint = hint

    @property
    def hint(self) -> str:
        """The remedy; empty if it is not known."""
        return self._hint or (suggest_name(self.wrong, self.right) if self.wrong else "")


@dataclass(frozen=True)
class Filter:
    """A filter: its function, and the range of its number of arguments."""

    function: Callable[..., Any]
    arguments: tuple[int, int]


def check_size(value: Any) -> Any:
    """Returns the value unchanged. Raises ExpressionError if it is too large."""
    if value.__class__ is str and len(value) <= MAX_RESULT:  # most are, and a subclass is slower
        return value
    if isinstance(value, (str, list, tuple, dict)) and len(value) > MAX_RESULT:
        raise ExpressionError(f"the expression produces a value longer than {MAX_RESULT:,}")
    if isinstance(value, int) and abs(value) >= _MAX_NUMBER:
        raise ExpressionError("the expression produces a number beyond 64 bits")
    return value


def format_value(value: Any) -> str:
    """Returns the value as text. Raises ExpressionError for lists and mappings."""
    if value.__class__ is str:
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        raise ExpressionError(
            "a list or mapping cannot be part of a text; use the filter 'json' or 'join'"
        )
    return str(value)


def _require_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"this filter works on text, not {value!r}")
    return value


def _format_date(value: Any, form: str) -> str:
    """Formats a date or time as strftime does."""
    if not isinstance(value, date):  # datetime is a date
        raise ExpressionError(f"'format' works on dates and times, not {value!r}")
    return value.strftime(_require_text(form))


def _add_to_date(value: Any, amount: Any) -> Any:
    """Adds to a date or time: ``1`` is a day, or '2h', '7d', '-1d'."""
    if not isinstance(value, date):
        raise ExpressionError(f"'plus' works on dates and times, not {value!r}")
    return _shift_date(value, _parse_amount(amount))


def _subtract_from_date(value: Any, amount: Any) -> Any:
    """Subtracts from a date or time."""
    if not isinstance(value, date):
        raise ExpressionError(f"'minus' works on dates and times, not {value!r}")
    return _shift_date(value, -_parse_amount(amount))


def _shift_date(value: date, amount: timedelta) -> date:
    if not isinstance(value, datetime) and amount % timedelta(days=1):
        raise ExpressionError(
            "a date changes by whole days only; use a time, as in ${{ now | plus('2h') }}"
        )
    return value + amount


def _parse_amount(amount: Any) -> timedelta:
    if isinstance(amount, timedelta):
        return amount
    if isinstance(amount, int):
        return timedelta(days=amount)
    text = _require_text(amount)
    seconds = parse_duration(text.lstrip("-"))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def _json_default(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise ExpressionError(f"{type(value).__name__} has no JSON form")


def _render_json(value: Any) -> str:
    """Returns the value as JSON."""
    return json.dumps(value, default=_json_default, ensure_ascii=False, allow_nan=False)


def _replace_text(value: Any, old: str, new: str) -> str:
    text = _require_text(value)
    if len(text) + text.count(_require_text(old)) * len(_require_text(new)) > MAX_RESULT:
        raise ExpressionError(f"'replace' produces a text longer than {MAX_RESULT:,}")
    return text.replace(old, new)


def _join_items(value: Any, separator: str = "") -> str:
    """Joins the items of a list."""
    if not isinstance(value, (list, tuple)):
        raise ExpressionError(f"'join' works on lists, not {value!r}")
    parts = [str(part) for part in value]
    if sum(map(len, parts)) + len(parts) * len(separator) > MAX_RESULT:
        raise ExpressionError(f"'join' produces a text longer than {MAX_RESULT:,}")
    return _require_text(separator).join(parts)


def _default_if_empty(value: Any, other: Any) -> Any:
    """Returns the value, or the other one if it is null or empty."""
    return other if value in (None, "") else value


def _count_items(value: Any) -> int:
    return len(value)


FILTERS: Mapping[str, Filter] = {
    "default": Filter(_default_if_empty, (1, 1)),
    "format": Filter(_format_date, (1, 1)),
    "int": Filter(int, (0, 0)),
    "join": Filter(_join_items, (0, 1)),
    "json": Filter(_render_json, (0, 0)),
    "length": Filter(_count_items, (0, 0)),
    "lower": Filter(lambda value: _require_text(value).lower(), (0, 0)),
    "minus": Filter(_subtract_from_date, (1, 1)),
    "plus": Filter(_add_to_date, (1, 1)),
    "replace": Filter(_replace_text, (2, 2)),
    "split": Filter(
        lambda value, separator: _require_text(value).split(_require_text(separator)), (1, 1)
    ),
    "string": Filter(str, (0, 0)),
    "trim": Filter(lambda value: _require_text(value).strip(), (0, 0)),
    "upper": Filter(lambda value: _require_text(value).upper(), (0, 0)),
}
"""Filters by name, which docs/expressions.md documents."""
