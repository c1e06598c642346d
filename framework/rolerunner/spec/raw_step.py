"""Parses each step of a spec on its own, before the steps are checked against one another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.spec import validation
from rolerunner.spec.expressions import Template
from rolerunner.spec.misnomers import suggest_field
from rolerunner.spec.reader import BROKEN_EXPRESSION
from rolerunner.spec.step_fields import StepFields
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.document import Path
    from rolerunner.spec.reader import SpecReader

_SCOPES = ("params", "run", "steps")
_DEFERRED = ("when", "for_each", "permissions")
"""Common fields that are evaluated when the step starts, not when the spec is loaded."""


@dataclass(frozen=True)
class RawStep:
    """A step that has been checked on its own."""

    path: Path
    data: Mapping[str, Any]
    """The step as it is written in the spec."""
    common: StepFields
    schema: Optional[type[ActionSchema]]
    """The schema of its action; None for an unknown action."""
    fields: Mapping[str, Any]
    """The action's own fields, with templates."""
    deferred: Mapping[str, Any] = field(default_factory=dict)
    """``when``, ``for_each`` and ``permissions``, with templates."""

    @property
    def id(self) -> str:
        """The step's id."""
        return self.common.id

    @property
    def secret_outputs(self) -> tuple[str, ...]:
        """The outputs declared as secrets; empty if the declaration is wrong."""
        names = self.common.secret_outputs
        return () if isinstance(names, Template) else tuple(names)

    @property
    def loop(self) -> Any:
        """The value of ``for_each``: its items, or a mapping with ``items``."""
        return self.deferred.get("for_each")

    @property
    def items(self) -> Any:
        """The items of ``for_each``; None without it."""
        return self.loop.get("items") if isinstance(self.loop, dict) else self.loop

    @property
    def role_fields(self) -> tuple[str, ...]:
        """The keys that may name the step's roles."""
        return self.schema.role_fields if self.schema else ("role",)

    @property
    def nested_roles(self) -> list[str]:
        """The fields that are mappings with a role of their own."""
        return self.schema.list_nested_roles(self.data) if self.schema else []

    @property
    def nested_role_fields(self) -> tuple[str, ...]:
        """The names of those roles, such as ``objects.role``."""
        return tuple(f"{field}.role" for field in self.nested_roles)


def parse_raw_steps(
    values: Sequence[Any], actions: Mapping[str, type[ActionSchema]], reader: SpecReader
) -> list[RawStep]:
    """Returns the steps that can be checked further; mistakes are added to the reader."""
    parsed = (
        _parse_step(("steps", index), value, actions, reader) for index, value in enumerate(values)
    )
    return [step for step in parsed if step is not None]


def accepts_secret(schema: Optional[type[ActionSchema]], path: Path) -> bool:
    """Returns True if a secret may flow to ``path``, which is relative to the step.

    ``when`` only evaluates to true or false, which is all that is shown of it.
    """
    if path[0] in StepFields.model_fields:
        return path[0] == "when"
    return schema is None or schema.accepts_secret(path)


def _parse_step(
    path: Path, value: Any, actions: Mapping[str, type[ActionSchema]], reader: SpecReader
) -> Optional[RawStep]:
    if not isinstance(value, dict):
        message = "a step must be a mapping with 'id' and 'action', not "
        reader.add(path, message + validation.describe_value(value))
        return None
    schema = _find_schema(value, actions, path, reader)
    reader = replace(reader, accepts_secret=lambda at: accepts_secret(schema, at[len(path) :]))
    deferred = _parse_deferred(value, path, reader)
    common = _parse_common(value, deferred, path, reader)
    fields = _parse_own_fields(value, schema, path, reader)
    return None if common is None else RawStep(path, value, common, schema, fields, deferred)


def _find_schema(
    value: Mapping[str, Any],
    actions: Mapping[str, type[ActionSchema]],
    path: Path,
    reader: SpecReader,
) -> Optional[type[ActionSchema]]:
    name = value.get("action")
    if not isinstance(name, str):
        return None
    if name not in actions:
        hint = suggest_name(name, actions) or f"known: {', '.join(sorted(actions))}"
        reader.add((*path, "action"), f"unknown action '{name}'", hint)
    return actions.get(name)


def _list_scopes(value: Mapping[str, Any]) -> tuple[str, ...]:
    return (*_SCOPES, "item") if value.get("for_each") is not None else _SCOPES


def _parse_deferred(value: Mapping[str, Any], path: Path, reader: SpecReader) -> dict[str, Any]:
    parsed = {}
    for key in (key for key in _DEFERRED if key in value):
        scopes = _list_scopes(value) if key == "permissions" else _SCOPES
        parsed[key] = reader.parse_templates(value[key], (*path, key), scopes)
        if _has_surrounding_text(parsed[key]):
            message = f"'{key}' must be a single expression with nothing around it"
            reader.add((*path, key), message)
    return parsed


def _has_surrounding_text(value: Any) -> bool:
    return (
        isinstance(value, Template) and value.whole is None and BROKEN_EXPRESSION not in value.parts
    )


def _parse_common(
    value: Mapping[str, Any], deferred: Mapping[str, Any], path: Path, reader: SpecReader
) -> Optional[StepFields]:
    parsed = {
        key: reader.parse_templates(each, (*path, key), ("params",), content=key == "description")
        for key, each in value.items()
        if key in StepFields.model_fields and key not in _DEFERRED
    }
    filled = reader.fill_known(parsed, path)
    common = reader.validate_model(StepFields, {**filled, **deferred}, path)
    if common is not None:
        return common
    identity = {key: value[key] for key in ("id", "action") if key in value}
    try:  # id and action are enough to find the step's other mistakes
        return StepFields.model_validate(identity)
    except ValidationError:
        return None


def _parse_own_fields(
    value: Mapping[str, Any],
    schema: Optional[type[ActionSchema]],
    path: Path,
    reader: SpecReader,
) -> dict[str, Any]:
    role_fields = schema.role_fields if schema else ()
    content = schema.content_fields if schema else ()
    scopes = _list_scopes(value)
    common = (*StepFields.model_fields, *role_fields)
    fields = {
        key: reader.parse_templates(each, (*path, key), scopes, content=key in content)
        for key, each in value.items()
        if key not in common
    }
    if schema is not None:
        more_keys = (*validation.list_keys(StepFields), *role_fields)
        reader.validate_model(schema, reader.fill_known(fields, path), path, more_keys)
    elif "action" not in value:
        _check_foreign_keys(fields, path, reader)
    return fields


def _check_foreign_keys(fields: Mapping[str, Any], path: Path, reader: SpecReader) -> None:
    """Reports keys of other tools' steps in a step without an action.

    Any other unknown key may belong to the action that is missing.
    """
    for key in fields:
        hint = suggest_field(key, StepFields, validation.list_keys(StepFields))
        if hint:
            reader.add((*path, key), f"unknown key '{key}'", hint, key=True)
