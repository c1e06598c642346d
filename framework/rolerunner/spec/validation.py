"""Converts pydantic's errors to problems with a place, in the words of the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from rolerunner.common.wording import format_count
from rolerunner.errors import Problem, SpecError
from rolerunner.redaction.secrets import Secret
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolerunner.spec.document import Document, Path

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "date_type": "a date such as 2026-01-31",
    "dataclass_type": "objects listed by another step",
    "dataclass_exact_type": "objects listed by another step",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}
_ARTICLES = ("a", "an", "each", "the")
"""First words of messages that have a subject of their own."""
_LONGEST_SHOWN = 60
_MEBIBYTE = 1 << 20
_TIME_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
"""Seconds of the units of durations, the longest first."""


def validate_document(model: type[M], document: Document) -> M:
    """Returns the document as ``model``. Raises SpecError with every mistake."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise SpecError(list_problems(error, document, (), model)) from None


def list_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Returns the keys of a model's mapping."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def list_problems(
    error: ValidationError,
    document: Document,
    base: Path,
    model: type[BaseModel],
    more_keys: Iterable[str] = (),
) -> list[Problem]:
    """Returns a problem for each of pydantic's errors.

    ``base`` is the path of the validated value. ``more_keys`` are valid keys at its top level
    that the model does not have, to suggest them for misspelt ones.
    """
    found: dict[tuple[Any, ...], Problem] = {}
    for detail in error.errors(include_url=False):
        location = _resolve_location(detail["loc"], document, base)
        unknown = detail["type"] == "extra_forbidden"
        message, hint = _describe_error(detail, location)
        if unknown:
            inner = _find_model(model, detail["loc"][:-1])
            hint = suggest_key(
                str(detail["loc"][-1]), inner, more_keys if len(detail["loc"]) == 1 else ()
            )
        place = _find_named_key(detail, location, document)
        problem = document.problem(
            place, message, hint, key=unknown or detail["loc"][-1:] == ("[key]",)
        )
        same = (
            (problem.mark, problem.message)
            if unknown or detail["type"] == "missing"
            else (problem.mark,)
        )
        found.setdefault(
            same, problem
        )  # each member of a union has an error of its own: the first is enough
    return list(found.values())


def list_messages(error: ValidationError) -> list[str]:
    """Returns the messages of pydantic's errors, for a value outside a document."""
    found = [
        _describe_error(detail, tuple(part for part in detail["loc"] if part != "[key]"))[0]
        for detail in error.errors(include_url=False)
    ]
    return list(dict.fromkeys(found))


def suggest_key(name: str, model: type[BaseModel], more_keys: Iterable[str] = ()) -> str:
    """Returns the hint for an unknown key: a similar key, one for another tool's, or all keys."""
    from rolerunner.spec.misnomers import suggest_field  # noqa: PLC0415 - a right spec has no use for it

    keys = tuple(dict.fromkeys((*list_keys(model), *more_keys)))
    near = suggest_name(name, keys)
    return (suggest_field(name, model, keys) or near) or _list_names("known", keys)


def _find_model(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    """Returns the model of the mapping at ``loc`` inside a model."""
    for part in loc:
        field = next(
            (field for name, field in model.model_fields.items() if part in (name, field.alias)),
            None,
        )
        inner = _unwrap_model(field.annotation) if field is not None else None
        model = inner or model
    return model


def _unwrap_model(annotation: Any) -> Optional[type[BaseModel]]:
    """Returns the model in an annotation such as Optional[Model] or list[Model]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(
        (found for found in map(_unwrap_model, get_args(annotation)) if found is not None), None
    )


def _resolve_location(loc: tuple[Any, ...], document: Document, base: Path) -> Path:
    """Converts pydantic's location to a path in the document, without names of union members."""
    path = base
    for part in loc:
        if document.holds((*path, part)):
            path = (*path, part)
        elif part == "[key]":
            return path
    return path


def _find_named_key(detail: Mapping[str, Any], location: Path, document: Document) -> Path:
    """Returns the path of the first key that is named by a mistake of a mapping as a whole.

    A key that an environment changes comes before others: the mistake is in the change.
    """
    if detail["type"] != "value_error" or not isinstance(detail["input"], dict):
        return location
    quoted = str(detail.get("ctx", {}).get("error")).split("'")[1::2]
    named = [path for path in ((*location, name) for name in quoted) if document.holds(path)]
    return next((path for path in named if path in document.origins), (*named, location)[0])


def _describe_error(detail: Mapping[str, Any], location: Path) -> tuple[str, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key '{name}'", ""
    if kind == "missing":
        return f"'{name}' is missing", ""
    if kind in ("literal_error", "enum"):
        return _describe_choice(
            location, str(context.get("expected", "")).replace(" or ", ", "), detail["input"]
        )
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        value = describe_value(detail["input"])
        limit = _format_limit(context[bound], detail["input"])
        return f"{_name_field(location)} must be {words} {limit}, not {value}", ""
    if kind in ("too_long", "too_short"):
        at_most = kind == "too_long"
        words, bound = ("at most", "max_length") if at_most else ("at least", "min_length")
        limit, length = format_count(context[bound], "item"), context["actual_length"]
        return f"{_name_field(location)} must have {words} {limit}, not {length}", ""
    if kind == "value_error":
        error = context.get("error")
        text = str(error)
        is_whole = text.startswith("'") or _is_step(location)
        is_sentence = text.partition(" ")[0] in _ARTICLES
        name = f"{_name_field(location)}:" if is_sentence else _name_field(location)
        return text if is_whole else f"{name} {text}", getattr(error, "hint", "")
    if kind in _EXPECTED:
        value = describe_value(detail["input"])
        expected = _EXPECTED[kind]
        if context.get("class_name") == "S3Uri":
            expected = "an s3:// URI"
        message = f"{_name_field(location)} must be {expected}, not {value}"
        return message, _suggest_form(kind, location, detail["input"])
    text = str(detail["msg"])
    return f"{_name_field(location)}: {text[:1].lower()}{text[1:]}", ""


def _describe_choice(location: Path, expected: str, value: Any) -> tuple[str, str]:
    choices = [choice.strip(" '") for choice in expected.split(",")]
    one_of = "one of " if len(choices) > 1 else ""
    quoted = str(value) in choices and not isinstance(value, bool)
    from rolerunner.spec.misnomers import suggest_choice  # noqa: PLC0415 - a right spec has no use for it

    hint = "write it without quotes" if quoted else suggest_choice(value, choices)
    return f"{_name_field(location)} must be {one_of}{expected}, not {describe_value(value)}", hint


def _is_step(location: Path) -> bool:
    return location[-2:-1] == ("steps",) and isinstance(location[-1], int)


def _format_limit(limit: Any, given: Any) -> str:
    """Returns a limit in the form of the value: ``7d`` where that is a duration such as ``90d``.

    A limit of whole mebibytes is a size.
    """
    if isinstance(limit, int) and limit and not limit % _MEBIBYTE:
        return f"{limit // _MEBIBYTE}MiB"
    if not isinstance(given, str) or not isinstance(limit, (int, float)):
        return str(limit)
    units = [unit for unit in _TIME_UNITS if given.endswith(unit)]
    fitting = [unit for unit in _TIME_UNITS if limit and not limit % _TIME_UNITS[unit]]
    if not units or not fitting:
        return str(limit)
    return f"{limit / _TIME_UNITS[fitting[0]]:g}{fitting[0]}"


def _name_field(location: Path) -> str:
    names = [part for part in location if isinstance(part, str)]
    return f"'{names[-1]}'" if names else "the spec"


def _suggest_form(kind: str, location: Path, value: Any) -> str:
    from rolerunner.spec import misnomers  # noqa: PLC0415 - a right spec has no use for it

    if _EXPECTED[kind] == "a list":
        return misnomers.suggest_list(str(location[-1]) if location else "", value)
    if _EXPECTED[kind] == "a mapping" and location[-1:] != ("steps",):
        return misnomers.suggest_mapping(location)
    if _EXPECTED[kind] == "a whole number" and isinstance(value, str) and value.isdigit():
        return "write it without quotes"
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return "put it in quotes"
    if kind == "bool_type" and str(value).lower() in ("yes", "no", "on", "off"):
        return "write true or false"
    return ""


def describe_value(value: Any) -> str:
    """Returns a value as errors show it: its kind or, if it is short, itself."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Secret):
        return "a secret"
    text = str(value)
    text = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    return text if isinstance(value, (int, float)) else f"'{text}'"


def _list_names(word: str, names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"{word}: {listed}" if listed else ""
