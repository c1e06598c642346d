"""Parses the params of a run, which are text or YAML values, as the spec declares them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import UsageError
from rolerunner.redaction.encodings import MIN_SECRET_LENGTH
from rolerunner.redaction.secrets import SecretValue, register_secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.param_values import parse_bound, parse_param, parse_value
from rolerunner.spec.validation import describe_value
from rolerunner.spec.values import FileValue, format_suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.schema import ParamFields

_LOG = logging.getLogger("rolerunner")
_SHOWN_START = 8
"""Characters of a value that reveal too much of it in a message."""


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
                parse_bound(fields, bound)
        except ValueError as error:
            reader.add((*path, rule), f"'{rule}' of '{name}' {error}")
    for index, choice in enumerate(fields.choices or ()):
        try:
            parse_value(fields.type, choice)
        except ValueError as error:
            reader.add((*path, "choices", index), f"a choice of '{name}' {error}")
    return len(reader.known.problems) == before
