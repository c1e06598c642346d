"""Parses the params of a run, which are text or YAML values, as the spec declares them."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional, Protocol

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

from rolerunner.common.json_values import read_json
from rolerunner.errors import UsageError
from rolerunner.redaction.encodings import MIN_SECRET_LENGTH
from rolerunner.redaction.secrets import SecretValue, register_secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.validation import describe_value
from rolerunner.spec.values import (
    FileValue,
    check_duration,
    format_suggestion,
    parse_duration,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.schema import ParamFields

_LOG = logging.getLogger("rolerunner")
_SHOWN_START = 8
"""Characters of a value that reveal too much of it in a message."""
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def parse_params(
    declared: Mapping[str, ParamFields],
    given: Mapping[str, Any],
    reader: SpecReader,
    *,
    complete: bool,
    more_names: Iterable[str] = (),
    ignored_names: Collection[str] = (),
    find_environments: Optional[Callable[[str], Sequence[str]]] = None,
) -> None:
    """Parses the params of a run into the reader's context; adds mistakes of the spec.

    ``more_names`` are valid names that are not params, to suggest them for misspelt ones.
    ``ignored_names`` are ignored if they are no params, not even in another spelling.
    ``find_environments`` returns the environments that would set a param.
    Raises UsageError with all mistakes in the given values.
    """
    right = (*declared, *more_names)
    wrong = [
        _describe_unknown_param(name, value, right)
        for name, value in given.items()
        if name not in {*declared, *reader.known.undecided}
        and (name not in ignored_names or _has_other_spelling(name, declared))
    ]
    reader.known.secrets.update(name for name, fields in declared.items() if fields.secret)
    for name, fields in declared.items():
        if not _has_valid_declaration(name, fields, reader):
            reader.known.undecided.add(name)
            continue
        try:
            if not _parse_one(name, fields, given, reader) and complete:
                wrong.append(_describe_missing_param(name, fields, find_environments))
        except ValueError as error:
            wrong.append(str(error))
            reader.known.undecided.add(name)
    if wrong:
        raise UsageError(f"{reader.document.file}: " + "; ".join(wrong))


def _has_other_spelling(name: str, declared: Iterable[str]) -> bool:
    """Returns True if the name differs from a param's in hyphens and underscores alone."""
    return name.replace("-", "_") in {each.replace("-", "_") for each in declared}


def _describe_unknown_param(name: str, value: Any, right: Iterable[str]) -> str:
    if isinstance(value, FileValue):
        return f"{value.mark}: there is no param of this name{format_suggestion(name, right)}"
    return f"there is no param '{name}'{format_suggestion(name, right)}"


def _describe_missing_param(
    name: str,
    fields: ParamFields,
    find_environments: Optional[Callable[[str], Sequence[str]]],
) -> str:
    how = (
        f"-p {name}=@FILE or --params FILE"
        if fields.secret
        else f"-p {name}=VALUE (in Glue: --{name} VALUE)"
    )
    environments = find_environments(name) if find_environments is not None else ()
    if environments:
        how += f", or choose {' or '.join(f'--env {each}' for each in environments)}"
    return f"the param '{name}' is required; set it with {how}"


def _parse_one(
    name: str, fields: ParamFields, given: Mapping[str, Any], reader: SpecReader
) -> bool:
    """Parses a param; returns False if it is required and missing. Raises ValueError."""
    known = reader.known
    if name in given:
        try:
            known.params[name] = _parse_given(name, fields, given[name])
        except ValueError as error:
            raise ValueError(f"the param '{name}' {error}") from None
    elif fields.from_ is not None:
        known.undecided.add(name)  # the run fetches it
    elif fields.default is not None:
        _parse_default(name, fields, reader)
    elif not fields.required:
        known.params[name] = None
    else:
        known.undecided.add(name)
        return False
    return True


def _parse_given(name: str, fields: ParamFields, given: Any) -> Any:
    """Returns a given value. Errors do not show a secret or a value from a file."""
    value = given.value if isinstance(given, FileValue) else given
    try:
        read = parse_param(fields, value)
    except ValueError as error:
        if not fields.secret and not isinstance(given, FileValue):
            raise
        raise ValueError(
            remove_value(
                str(error), value, f"at {given.mark}" if isinstance(given, FileValue) else "given"
            )
        ) from None
    return register_param(name, read) if fields.secret else read


def remove_value(message: str, value: Any, place: str) -> str:
    """Returns the message without the value."""
    text = message.replace(describe_value(value), f"the value {place}")
    return (
        f"does not take the value {place}"
        if str(value) and str(value)[:_SHOWN_START] in text
        else text
    )


def register_param(name: str, value: str) -> SecretValue:
    """Returns the value of a secret param, redacted from all output; warns of a short one."""
    if 0 < len(value) < MIN_SECRET_LENGTH:
        _LOG.warning(
            "the secret param '%s' has fewer than %d characters: "
            "it is redacted only where it is the whole value",
            name,
            MIN_SECRET_LENGTH,
        )
    return register_secret(value)


def _parse_default(name: str, fields: ParamFields, reader: SpecReader) -> None:
    path = ("params", name, "default")
    value = reader.fill_known(reader.parse_templates(fields.default, path, ()), path)
    if isinstance(value, Template):  # with a mistake that has been reported
        reader.known.undecided.add(name)
        return
    try:
        read = parse_param(fields, value)
        reader.known.params[name] = register_param(name, read) if fields.secret else read
    except ValueError as error:
        reader.known.undecided.add(name)
        if fields.secret:
            problem = reader.document.problem(
                path, f"the default of '{name}' does not fit its declaration"
            )
            reader.add_problem(replace(problem, line=""))
            return
        reader.add(
            path,
            f"the default of '{name}': {error}"
            if str(error).startswith("'")
            else f"the default of '{name}' {error}",
        )


def _has_valid_declaration(name: str, fields: ParamFields, reader: SpecReader) -> bool:
    """Returns False, with the mistakes added, if a param's limits or choices are wrong."""
    before = len(reader.known.problems)
    path = ("params", name)
    if fields.type == "choice" and not fields.choices:
        reader.add(path, f"the param '{name}' of type choice needs 'choices'")
    if fields.secret and fields.type != "string":
        reader.add(
            (*path, "secret"),
            f"the param '{name}' is secret, so its type must be string, not {fields.type}",
            key=True,
        )
    if fields.required and fields.default is not None:
        reader.add(
            (*path, "required"),
            f"the param '{name}' is required and has a default",
            "remove one of the two",
            key=True,
        )
    for rule in ("min", "max"):
        bound = getattr(fields, rule)
        try:
            if bound is not None:
                _parse_bound(fields, bound)
        except ValueError as error:
            reader.add((*path, rule), f"'{rule}' of '{name}' {error}")
    for index, choice in enumerate(fields.choices or ()):
        try:
            _PARSERS[fields.type](choice)
        except ValueError as error:
            reader.add((*path, "choices", index), f"a choice of '{name}' {error}")
    return len(reader.known.problems) == before


def _parse_bound(declared: ParamRules, bound: Any) -> Any:
    """Returns ``min`` or ``max``: a value of the param's type, or a length. Raises ValueError."""
    if declared.type not in _UNITS:
        return _PARSERS[declared.type](bound)
    try:
        return _parse_integer(bound)
    except ValueError as error:
        raise ValueError(f"counts{_UNITS[declared.type]}: it {error}") from None


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
    reader = _PARSERS[declared.type]
    read = reader(value)
    counted = declared.type in _UNITS
    measure, unit = (len(read), _UNITS[declared.type]) if counted else (read, "")
    if declared.min is not None and measure < _parse_bound(declared, declared.min):
        raise ValueError(f"must be at least {declared.min}{unit}, not {describe_value(measure)}")
    if declared.max is not None and measure > _parse_bound(declared, declared.max):
        raise ValueError(f"must be at most {declared.max}{unit}, not {describe_value(measure)}")
    if declared.pattern is not None and not matches_pattern(declared.pattern, str(read)):
        raise ValueError(f"must match {declared.pattern}, unlike {describe_value(read)}")
    if declared.choices is not None and read not in [reader(choice) for choice in declared.choices]:
        raise ValueError(
            f"must be one of {', '.join(map(str, declared.choices))}, not {describe_value(read)}"
        )
    return read


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
