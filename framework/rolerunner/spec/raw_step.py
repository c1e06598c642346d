"""Parses each step of a spec on its own, before the steps are checked against one another."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Optional, Union

from pydantic import ValidationError

from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec import validation
from rolerunner.spec.expressions import Template, is_template
from rolerunner.spec.misnomers import suggest_field
from rolerunner.spec.nested_templates import BROKEN_EXPRESSION
from rolerunner.spec.object_templates import OBJECT, reads_object
from rolerunner.spec.step_fields import GroupFields, StepFields
from rolerunner.step_ids import inner_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rolerunner.spec.action_schema import ActionSchema
    from rolerunner.spec.document import Path
    from rolerunner.spec.reader import SpecReader

_SCOPES = ("params", "run", "steps")
_ITEM_SCOPES = (*_SCOPES, "item")
_DEFERRED = ("when", "for_each", "permissions")
"""Common fields that are evaluated when the step starts, not when the spec is loaded."""
_OF_STEPS = ("role", "retry", "permissions", "secret_outputs")
"""Fields of a step that a group cannot have: they belong to the steps inside it."""
_NO_ITEMS: tuple[Any, ...] = ()


@dataclass(frozen=True)
class RawStep:
    """A step or a group that has been checked on its own."""

    path: Path
    data: Mapping[str, Any]
    """The step as it is written in the spec."""
    common: Union[StepFields, GroupFields]
    schema: Optional[type[ActionSchema]]
    """The schema of its action; None for an unknown action and for a group."""
    fields: Mapping[str, Any]
    """The action's own fields, with templates."""
    deferred: Mapping[str, Any] = field(default_factory=dict)
    """``when``, ``for_each`` and ``permissions``, with templates."""
    role_templates: Mapping[Path, Template] = field(default_factory=dict)
    """Roles that are expressions, by their place in the step."""
    group: Optional[RawStep] = None
    """The group that the step is in, without its steps."""
    steps: tuple[RawStep, ...] = ()
    """The steps of a group."""

    @property
    def id(self) -> str:
        """The step's id."""
        return str(self.common.id)

    @property
    def full_id(self) -> str:
        """The step's id, behind that of its group."""
        return self.id if self.group is None else inner_id(self.group.id, self.id)

    @property
    def is_group(self) -> bool:
        """True for a group of steps."""
        return isinstance(self.common, GroupFields)

    @property
    def secret_outputs(self) -> tuple[str, ...]:
        """The outputs declared as secrets; empty if the declaration is wrong."""
        names = getattr(self.common, "secret_outputs", ())
        return () if isinstance(names, Template) else tuple(names)

    @property
    def loop(self) -> Any:
        """The value of ``for_each``: its items, or a mapping with ``items``."""
        return self.deferred.get("for_each")

    @property
    def items(self) -> Any:
        """The items of ``for_each``, the step's own or its group's; None without it."""
        if self.group is not None:
            return self.group.items
        return self.loop.get("items") if isinstance(self.loop, dict) else self.loop

    @property
    def items_path(self) -> Path:
        """The place of the items."""
        if self.group is not None:
            return self.group.items_path
        path = (*self.path, "for_each")
        return (*path, "items") if isinstance(self.loop, dict) else path

    @property
    def has_unnamed_lists(self) -> bool:
        """True if its outputs are lists with a value for each item, whose names only runs know."""
        return self.items is not None and self.schema is not None and self.schema.outputs is None

    @property
    def role_fields(self) -> tuple[str, ...]:
        """The keys that may name the step's roles."""
        if self.is_group:
            return ()
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
    path: Path,
    value: Any,
    actions: Mapping[str, type[ActionSchema]],
    reader: SpecReader,
    group: Optional[RawStep] = None,
) -> Optional[RawStep]:
    if not isinstance(value, dict):
        message = "a step must be a mapping with 'id' and 'action', not "
        reader.add(path, message + validation.describe_value(value))
        return None
    if "steps" in value and "action" not in value:
        if group is None:
            return _parse_group(path, value, actions, reader)
        hint = "move it out, or loop over all pairs of items in one group"
        reader.add((*path, "steps"), "a group cannot be inside a group", hint, key=True)
        return None
    if "steps" in value:
        message, hint = "a step with an 'action' cannot have 'steps'", "a group has no 'action'"
        reader.add((*path, "steps"), message, hint, key=True)
    if group is not None and value.get("for_each") is not None:
        hint = "the steps of a group run for each of its items; move this step out of the group"
        message = "a step inside a group cannot have 'for_each'"
        reader.add((*path, "for_each"), message, hint, key=True)
    left_out = {"steps", *(("for_each",) if group is not None else ())}
    own = {key: each for key, each in value.items() if key not in left_out}
    has_item = group is not None or value.get("for_each") is not None
    schema = _find_schema(own, actions, path, reader)
    reader = replace(reader, accepts_secret=lambda at: accepts_secret(schema, at[len(path) :]))
    deferred = _parse_deferred(own, path, reader, has_item=has_item, in_group=group is not None)
    common = _parse_common(own, deferred, path, reader)
    role_templates = _parse_role_templates(own, schema, path, reader, has_item=has_item)
    fields = _parse_own_fields(own, schema, path, reader, actions=actions, has_item=has_item)
    if common is None:
        return None
    return RawStep(path, own, common, schema, fields, deferred, role_templates, group)


def _parse_group(
    path: Path,
    value: Mapping[str, Any],
    actions: Mapping[str, type[ActionSchema]],
    reader: SpecReader,
) -> Optional[RawStep]:
    """Returns a group with the steps inside it."""
    for key in (key for key in _OF_STEPS if key in value):
        hint = "write it in each step under 'steps'"
        reader.add((*path, key), f"a group cannot have '{key}'", hint, key=True)
    own = {key: each for key, each in value.items() if key not in _OF_STEPS}
    deferred = _parse_deferred(own, path, reader, has_item=False)
    parsed = {
        key: reader.parse_templates(each, (*path, key), ("params",), content=key == "description")
        for key, each in own.items()
        if key not in ("steps", *_DEFERRED)
    }
    filled = {**reader.fill_known(parsed, path), **deferred, "steps": own["steps"]}
    common = reader.validate_model(GroupFields, filled, path) or _salvage_group(own)
    if common is None:
        return None
    if isinstance(deferred.get("for_each"), dict) and common.max_parallel is not None:
        place = (*path, "for_each", "max_parallel")
        message = "'max_parallel' is set for the group and for its 'for_each'"
        if "max_parallel" in deferred["for_each"]:
            reader.add(place, message, "remove one of them", key=True)
    group = RawStep(path, own, common, None, {}, deferred)
    values = own["steps"] if isinstance(own["steps"], list) else _NO_ITEMS
    inner = (
        _parse_step((*path, "steps", index), each, actions, reader, group)
        for index, each in enumerate(values)
    )
    return replace(group, steps=tuple(step for step in inner if step is not None))


def _salvage_group(value: Mapping[str, Any]) -> Optional[GroupFields]:
    """Returns a group whose own mistakes are reported, so that its steps are checked too."""
    try:
        return GroupFields.model_validate({"id": value.get("id"), "for_each": [], "steps": [None]})
    except ValidationError:
        return None


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
        from rolerunner.spec.foreign_actions import suggest_action  # noqa: PLC0415 - a right spec has no use for it

        reader.add((*path, "action"), f"unknown action '{name}'", suggest_action(name, actions))
    return actions.get(name)


def _parse_deferred(
    value: Mapping[str, Any],
    path: Path,
    reader: SpecReader,
    *,
    has_item: bool,
    in_group: bool = False,
) -> dict[str, Any]:
    parsed = {}
    with_item = ("permissions", *(("when",) if in_group else ())) if has_item else ()
    for key in (key for key in _DEFERRED if key in value):
        scopes = _ITEM_SCOPES if key in with_item else _SCOPES
        parsed[key] = reader.parse_templates(value[key], (*path, key), scopes)
        if _has_surrounding_text(parsed[key]):
            message = f"'{key}' must be a single expression with nothing around it"
            reader.add((*path, key), message)
    return parsed


def _parse_role_templates(
    value: Mapping[str, Any],
    schema: Optional[type[ActionSchema]],
    path: Path,
    reader: SpecReader,
    *,
    has_item: bool,
) -> dict[Path, Template]:
    """Returns the roles that are expressions; only an item can choose a role."""
    paths: list[Path] = [(key,) for key in ("role", *(schema.role_fields if schema else ()))]
    paths += [(key, "role") for key in (schema.list_nested_roles(value) if schema else ())]
    found = {}
    for place in dict.fromkeys(paths):
        name: Any = value
        for key in place:
            name = name.get(key)
        if not isinstance(name, str) or not is_template(name):
            continue
        if has_item:
            found[place] = reader.parse_templates(name, (*path, *place), ("params", "item"))
        else:
            message = f"'{place[-1]}' can be an expression only with 'for_each', or inside a group"
            hint = "write an alias, an ARN, or job; an alias' ARN may depend on params"
            reader.add((*path, *place), message, hint)
    return found


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
        if key in StepFields.model_fields and key not in (*_DEFERRED, "role")
    }
    filled = reader.fill_known(parsed, path)
    role = {"role": value["role"]} if "role" in value else {}
    common = reader.validate_model(StepFields, {**filled, **role, **deferred}, path)
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
    *,
    actions: Collection[str],
    has_item: bool,
) -> dict[str, Any]:
    role_fields = schema.role_fields if schema else ()
    content = schema.content_fields if schema else ()
    scopes = _ITEM_SCOPES if has_item else _SCOPES
    common = (*StepFields.model_fields, *role_fields)
    of_objects = schema.object_fields if schema else ()
    fields = {
        key: reader.parse_templates(
            each,
            (*path, key),
            (*scopes, OBJECT) if key in of_objects else scopes,
            content=key in content,
        )
        for key, each in value.items()
        if key not in common
    }
    for key in schema.secret_fields if schema else ():
        if fields.get(key) is not None:
            reader.require_secret_param(fields[key], (*path, key))
    for key in of_objects:
        if reads_object(fields.get(key)):
            reader.check_object_template(fields[key], (*path, key))
    if schema is not None:
        more_keys = (*validation.list_keys(StepFields), *role_fields)
        reader.validate_model(schema, reader.fill_known(fields, path), path, more_keys)
    elif "action" not in value:
        _check_foreign_keys(fields, actions, path, reader)
    return fields


def _check_foreign_keys(
    fields: Mapping[str, Any], actions: Collection[str], path: Path, reader: SpecReader
) -> None:
    """Reports keys of other tools' steps in a step without an action.

    Any other unknown key may belong to the action that is missing.
    """
    for key in fields:
        hint = suggest_field(key, StepFields, validation.list_keys(StepFields))
        if key in actions:
            hint = f"write action: {key}, and its fields beside it"
        if hint:
            reader.add((*path, key), f"unknown key '{key}'", hint, key=True)
