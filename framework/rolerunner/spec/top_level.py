"""Parses the top level of a spec, and what is valid of one with mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolerunner.errors import SpecError
from rolerunner.spec import validation
from rolerunner.spec.schema import SpecFile

if TYPE_CHECKING:
    from rolerunner.spec.reader import SpecReader


def parse_top_level(reader: SpecReader) -> SpecFile:
    """Returns the top level of a spec, or what of it is valid, with its problems added.

    Raises SpecError for what is no spec of a known version.
    """
    data = reader.document.data
    if not isinstance(data, dict):
        raise SpecError(
            [reader.document.problem((), "a spec must be a mapping that starts with 'version: 1'")]
        )
    data = _check_version(data, reader)
    try:
        return SpecFile.model_validate(data)
    except ValidationError as error:
        for problem in validation.list_problems(error, reader.document, (), SpecFile):
            reader.add_at(problem.mark, problem.message, problem.hint)
    return _salvage_top(data, reader)


def _check_version(data: dict[str, Any], reader: SpecReader) -> dict[str, Any]:
    """Returns the data with a valid version; reports a wrong one.

    Raises SpecError for another version, whose further mistakes would be noise.
    """
    version = data.get("version")
    if type(version) is int and version == 1:
        return data
    if "version" not in data:
        reader.add((), "'version' is missing", "start the spec with 'version: 1'")
    elif version in (1, "1", None):
        reader.add(
            ("version",),
            f"'version' must be 1, not {validation.describe_value(version)}",
            "write version: 1",
        )
    else:
        hint = "this release of rolerunner supports version 1 only"
        raise SpecError(
            [
                reader.document.problem(
                    ("version",),
                    f"'version' must be 1, not {validation.describe_value(version)}",
                    hint,
                )
            ]
        )
    return {**data, "version": 1}


def _salvage_top(data: dict[str, Any], reader: SpecReader) -> SpecFile:
    """Returns the valid parts of a top level with mistakes, so that its steps are checked too."""
    usable: dict[str, Any] = {"version": 1, "name": "unnamed", "steps": [None]}
    for key in SpecFile.model_fields:
        if key in data and _is_valid({**usable, key: data[key]}):
            usable[key] = data[key]
    params = data.get("params")
    if "params" not in usable and isinstance(params, dict):
        usable["params"] = {
            name: value
            for name, value in params.items()
            if _is_valid({**usable, "params": {name: value}})
        }
        reader.known.undecided.update(name for name in params if name not in usable["params"])
    return SpecFile.model_validate(usable)


def _is_valid(values: dict[str, Any]) -> bool:
    try:
        SpecFile.model_validate(values)
    except ValidationError:
        return False
    return True
