"""Params: what a job is given for each run, as text or as YAML values, read as the spec declares them."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from rolerunner.spec.checking import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.spec.schema import ParamFields

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def read_param(declared: ParamFields, value: Any) -> Any:
    """The value as its declared type. Raises ValueError with the rule that it breaks."""
    read = _READERS[declared.type](value)
    if declared.min is not None and read < declared.min:
        raise ValueError(f"must be at least {declared.min}, not {shown(read)}")
    if declared.max is not None and read > declared.max:
        raise ValueError(f"must be at most {declared.max}, not {shown(read)}")
    if declared.pattern is not None and not re.fullmatch(declared.pattern, str(read)):
        raise ValueError(f"must match {declared.pattern}, and {shown(read)} does not")
    if declared.choices is not None and read not in [_READERS[declared.type](choice) for choice in declared.choices]:
        raise ValueError(f"must be one of {', '.join(map(str, declared.choices))}, not {shown(read)}")
    return read


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}; put it in quotes")  # noqa: TRY004
    return value


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d{1,18}", value.strip()):
        return int(value)
    raise ValueError(f"must be a whole number, not {shown(value)}")


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        return float(_string(value))
    except ValueError:
        raise ValueError(f"must be a number, not {shown(value)}") from None


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError(f"must be true or false, not {shown(value)}")


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(f"must be a date such as 2026-01-31, not {shown(value)}") from None


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}
