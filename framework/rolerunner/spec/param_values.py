"""Parses a value as the type of a param, and checks the limits that the spec declares for it."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional, Protocol

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

from rolerunner.common.json_values import read_json
from rolerunner.spec.validation import describe_value
from rolerunner.spec.values import check_duration, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class ParamRules(Protocol):
    """The type and the limits of a param."""

    @property
    def type(self) -> str:
        """The name of the type."""

    @property
    def min(self) -> Any:
        """The minimum value or length; None without one."""

    @property
    def max(self) -> Any:
        """The maximum value or length; None without one."""

    @property
    def pattern(self) -> Optional[str]:
        """The pattern of the whole text; None without one."""

    @property
    def choices(self) -> Optional[Sequence[Any]]:
        """The allowed values; None for any."""


def parse_param(declared: ParamRules, value: Any) -> Any:
    """Returns the value as its declared type. Raises ValueError with the rule that it breaks."""
    read = parse_value(declared.type, value)
    counted = declared.type in _UNITS
    measure, unit = (len(read), _UNITS[declared.type]) if counted else (read, "")
    if declared.min is not None and measure < parse_bound(declared, declared.min):
        raise ValueError(f"must be at least {declared.min}{unit}, not {describe_value(measure)}")
    if declared.max is not None and measure > parse_bound(declared, declared.max):
        raise ValueError(f"must be at most {declared.max}{unit}, not {describe_value(measure)}")
    if declared.pattern is not None and not matches_pattern(declared.pattern, str(read)):
        raise ValueError(f"must match {declared.pattern}, unlike {describe_value(read)}")
    if declared.choices is not None and read not in [
        parse_value(declared.type, choice) for choice in declared.choices
    ]:
        raise ValueError(
            f"must be one of {', '.join(map(str, declared.choices))}, not {describe_value(read)}"
        )
    return read


def parse_value(kind: str, value: Any) -> Any:
    """Returns the value as a type of params, whatever its limits. Raises ValueError."""
    return _PARSERS[kind](value)


def parse_bound(declared: ParamRules, bound: Any) -> Any:
    """Returns ``min`` or ``max``: a value of the param's type, or a length. Raises ValueError."""
    if declared.type not in _UNITS:
        return parse_value(declared.type, bound)
    try:
        return _parse_integer(bound)
    except ValueError as error:
        raise ValueError(f"counts{_UNITS[declared.type]}: it {error}") from None


def matches_pattern(pattern: str, text: str) -> bool:
    """Returns True if the whole text matches.

    Takes linear time for any pattern: pydantic uses Rust's engine, which does not backtrack.
    """
    try:
        _compile_pattern(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _compile_pattern(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=rf"\A(?:{pattern})\z"))


def check_pattern(value: Any) -> Any:
    """Returns a regular expression unchanged. Raises ValueError if it is invalid."""
    if isinstance(value, str):
        try:
            _compile_pattern(value)
        except SchemaError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(
                f"is not a valid regular expression: {reason} "
                "(look-around and back-references are not supported)"
            ) from None
    return value


def _parse_string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {describe_value(value)}; put it in quotes")  # noqa: TRY004
    return value


def _parse_integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d{1,18}", value.strip()):
        return int(value)
    raise ValueError(f"must be a whole number, not {describe_value(value)}")


def _parse_number(value: Any) -> float:
    try:
        number = (
            value
            if isinstance(value, (int, float)) and not isinstance(value, bool)
            else float(_parse_string(value))
        )
    except ValueError:
        raise ValueError(f"must be a number, not {describe_value(value)}") from None
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - only NaN differs from itself
        raise ValueError(f"must be a number, not {describe_value(value)}")
    return number


def _parse_boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError(f"must be true or false, not {describe_value(value)}")


def _parse_date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return datetime.strptime(str(value).strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise ValueError(
            f"must be a date such as 2026-01-31, not {describe_value(value)}"
        ) from None


def _parse_datetime(value: Any) -> datetime:
    try:
        read = (
            value
            if isinstance(value, datetime)
            else datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        )
    except ValueError:
        raise ValueError(
            f"must be a time such as 2026-01-31T06:00:00Z, not {describe_value(value)}"
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)


def _parse_duration(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return check_duration(value)
    return parse_duration(_require_text("a duration such as 30s or 2h", value))


def _parse_size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return parse_size(_require_text("a size such as 16MiB or 5GB", value))


def _require_text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be {what}, not {describe_value(value)}")  # noqa: TRY004
    return value


def _parse_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    text = _require_text("a list", value).strip()
    if text.startswith("["):
        try:
            read = read_json(text)
        except ValueError:
            raise ValueError(
                f'must be a list such as a,b or ["a", "b"], not {describe_value(value)}'
            ) from None
        return list(read)
    return [part.strip() for part in text.split(",") if part.strip()]


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "string": _parse_string,
    "integer": _parse_integer,
    "number": _parse_number,
    "boolean": _parse_boolean,
    "date": _parse_date,
    "datetime": _parse_datetime,
    "duration": _parse_duration,
    "size": _parse_size,
    "list": _parse_list,
    "choice": str,
}
_UNITS = {"string": " characters", "list": " values", "choice": " characters"}
"""Types whose ``min`` and ``max`` are lengths, and their units."""
