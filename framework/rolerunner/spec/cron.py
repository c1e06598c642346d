"""Checks cron expressions as AWS Glue takes them for schedules.

Source: AWS Glue developer guide, "Time-based schedules for jobs and crawlers". Times are in UTC.
"""

from __future__ import annotations

import re
from typing import Optional

from rolerunner.lazy_dataclass import dataclass

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LEAST_MINUTES = 5
"""Minimum number of minutes between two runs."""
_HOUR = 60
_LONGEST = 256
_UNIX_FIELDS = 5
EXAMPLE = "cron(0 3 * * ? *)"
"""A valid expression: every day at 03:00."""


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    special: Optional[re.Pattern[str]] = None
    """Entries that only this field has, such as L for the last day."""


_FIELDS = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day-of-month", 1, 31, special=re.compile(r"L|LW|([1-9]|[12]\d|3[01])W")),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 1, 7, _DAYS, re.compile(rf"L|([1-7]|{'|'.join(_DAYS)})L")),
    _Field("year", 1970, 2199),
)
_DAY_OF_MONTH, _DAY_OF_WEEK = 2, 4


def parse_cron(text: str) -> str:
    """Returns an expression in its usual spelling. Raises ValueError with what is wrong."""
    found = re.fullmatch(r"cron\((.*)\)", text, re.DOTALL)
    if not found or len(text) > _LONGEST:
        raise ValueError(_explain_form(text))
    fields = found[1].upper().split()
    if len(fields) != len(_FIELDS):
        names = " ".join(field.name for field in _FIELDS)
        raise ValueError(f"must have six fields, {names}, not {len(fields)}")
    if "?" not in (fields[_DAY_OF_MONTH], fields[_DAY_OF_WEEK]):
        raise ValueError("must have '?' as day-of-month or as day-of-week")
    if fields[_DAY_OF_MONTH] == fields[_DAY_OF_WEEK]:
        raise ValueError("must have '?' as day-of-month or as day-of-week, not as both")
    values = {
        field.name: _parse(part, field)
        for part, field in zip(fields, _FIELDS)
        if part != "?" or field.special is None
    }
    _check_rate(values["minutes"], values["hours"], fields[0])
    return f"cron({' '.join(fields)})"


def _explain_form(text: str) -> str:
    if text.startswith("rate("):
        return f"must be an expression such as {EXAMPLE}: triggers of Glue take no rate()"
    fields = text.split()
    if len(fields) == _UNIX_FIELDS and fields[_DAY_OF_WEEK] == "*":
        return f"must be written cron({' '.join(fields[:_DAY_OF_WEEK])} ? *)"
    return f"must be an expression such as {EXAMPLE}, not '{text[:_LONGEST]}'"


def _parse(part: str, field: _Field) -> frozenset[int]:
    """Returns the values of a field. Raises ValueError."""
    values: set[int] = set()
    for entry in part.split(","):
        if field.special is None or not field.special.fullmatch(entry):
            values |= _parse_entry(entry, field)
    return frozenset(values)


def _parse_entry(entry: str, field: _Field) -> set[int]:
    span, slash, step_text = entry.partition("/")
    first_text, dash, last_text = span.partition("-")
    if span == "*":
        first, last = field.least, field.most
    else:
        first = _parse_value(first_text, entry, field)
        last = _parse_value(last_text, entry, field) if dash else field.most if slash else first
    if first > last:
        raise ValueError(f"has the range '{span}' in {field.name}, which runs backwards")
    step = _parse_number(step_text) if slash else 1
    if not step:
        raise ValueError(f"has the step '{step_text}' in {field.name}, which is not 1 or more")
    return set(range(first, last + 1, step))


def _parse_value(text: str, entry: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + field.least
    number = _parse_number(text)
    if number is None:
        raise ValueError(f"has '{entry}' in {field.name}, which takes {_describe(field)}")
    if not field.least <= number <= field.most:
        raise ValueError(f"must have {field.name} from {field.least} to {field.most}, not {number}")
    return number


def _parse_number(text: str) -> Optional[int]:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len("1970") else None


def _describe(field: _Field) -> str:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return f"{field.least} to {field.most}{names}"


def _check_rate(minutes: frozenset[int], hours: frozenset[int], text: str) -> None:
    """Raises ValueError for runs that are less than five minutes apart."""
    ordered = sorted(minutes)
    gaps = [after - before for before, after in zip(ordered, ordered[1:])]
    if any((hour + 1) % 24 in hours for hour in hours):
        gaps.append(ordered[0] + _HOUR - ordered[-1])
    if min(gaps, default=_HOUR) < _LEAST_MINUTES:
        raise ValueError(
            f"starts runs {min(gaps)} min apart with the minutes '{text}': "
            f"Glue takes {_LEAST_MINUTES} min or more"
        )
