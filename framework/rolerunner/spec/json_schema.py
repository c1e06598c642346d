"""Builds the JSON Schema of specs from the models, for completion and validation in editors.

It uses Draft 7, the newest draft that the YAML language server supports fully. Steps are
distinguished by ``action`` with if/then, so that an editor reports mistakes and completes fields
for one action only.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from rolerunner.spec.environments import KEY, SECTIONS
from rolerunner.spec.glue_fields import GlueFields
from rolerunner.spec.names import NAME
from rolerunner.spec.notify_fields import MAX_NOTIFICATIONS, NotifyFields
from rolerunner.spec.role_fields import RoleFields
from rolerunner.spec.schema import SpecFile, StateFields
from rolerunner.spec.schema_sharing import share_fields
from rolerunner.spec.step_fields import GroupFields, StepFields
from rolerunner.spec.telemetry_fields import TelemetryFields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from rolerunner.spec.action_schema import ActionSchema

_ROLE = {
    "type": "string",
    "description": "The role to run under: an alias, an ARN, or job for the job's own role. "
    "With for_each, and inside a group, an expression may give an item's alias.",
    "examples": ["job", "arn:aws:iam::111122223333:role/name", "${{ item.role }}"],
}
_DRAFT = "http://json-schema.org/draft-07/schema#"
_EXPRESSION = {"type": "string", "pattern": r"\$\{\{"}
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_KEPT_WHOLE = ("id", "action", "needs", "role", "roles", "steps")
"""Fields of steps that cannot be expressions."""


def build_schema(kinds: Mapping[str, type[ActionSchema]]) -> dict[str, Any]:
    """Returns the schema of a spec with these actions."""
    definitions: dict[str, Any] = {}
    top = _build_object_schema(SpecFile, definitions, expressions=False)
    top["properties"]["roles"] = {
        "type": "object",
        **_describe_property(top, "roles"),
        "additionalProperties": {
            "anyOf": [
                {"type": "string", "description": "The role's ARN."},
                _build_object_schema(RoleFields, definitions),
            ]
        },
    }
    top["properties"]["state"] = {
        **_describe_property(top, "state"),
        **_build_object_schema(StateFields, definitions),
        "type": "object",
    }
    top["properties"]["notify"] = {
        "type": "array",
        "maxItems": MAX_NOTIFICATIONS,
        **_describe_property(top, "notify"),
        "items": _build_notify_schema(definitions),
    }
    top["properties"]["telemetry"] = {
        **_describe_property(top, "telemetry"),
        **_build_object_schema(TelemetryFields, definitions),
        "type": "object",
    }
    top["properties"]["glue"] = {
        **_describe_property(top, "glue"),
        **_build_object_schema(GlueFields, definitions, expressions=False),
        "type": "object",
    }
    top["properties"]["steps"] = {
        "type": "array",
        "minItems": 1,
        **_describe_property(top, "steps"),
        "items": _build_step_schema(kinds, definitions),
    }
    top["properties"][KEY] = _build_environments_schema(top)
    return share_fields(
        {
            "$schema": _DRAFT,
            "title": "A rolerunner job spec",
            **top,
            "definitions": {name: definitions[name] for name in sorted(definitions)},
        }
    )


def _build_environments_schema(top: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of the changes that environments make to the top level of a spec."""
    properties = top["properties"]
    sections = {name: _allow_changes(properties[name]) for name in SECTIONS if name in properties}
    sections["params"] = {
        **_describe_property(top, "params"),
        "type": "object",
        "description": "New defaults of params, or other keys of them.",
        "examples": [{"stage": "dev"}],
    }
    sections["roles"] = {
        **_describe_property(top, "roles"),
        "type": "object",
        "additionalProperties": {
            "anyOf": [
                *(
                    _allow_changes(choice) if choice["type"] == "object" else choice
                    for choice in properties["roles"]["additionalProperties"]["anyOf"]
                ),
                {"type": "null"},
            ]
        },
    }
    return {
        **_describe_property(top, KEY),
        "type": "object",
        "propertyNames": {"pattern": "^" + NAME.pattern.replace("\\Z", "$")},
        "additionalProperties": {
            "type": ["object", "null"],
            "properties": sections,
            "additionalProperties": False,
        },
    }


def _allow_changes(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of a section with nothing required and null for all that it may have."""
    kept = {key: value for key, value in schema.items() if key != "required"}
    if kept.get("type") != "object":
        about: dict[str, Any] = {
            key: kept.pop(key) for key in ("description", "examples") if key in kept
        }
        return {**about, **({"anyOf": [kept, {"type": "null"}]} if kept else {})}
    changed = {
        name: {
            **{key: field[key] for key in ("description", "examples") if key in field},
            "anyOf": [field, {"type": "null"}],
        }
        for name, field in kept.get("properties", {}).items()
    }
    return {**kept, "type": ["object", "null"], **({"properties": changed} if changed else {})}


def _build_notify_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a target, which is one of four kinds."""
    schema = _build_object_schema(NotifyFields, definitions)
    targets = [{"required": ["on", kind, "role"]} for kind in ("sns", "event", "sqs")]
    webhook = {"required": ["on", "webhook"], "not": {"required": ["role"]}}
    return {**schema, "oneOf": [*targets, webhook]}


def build_model_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Returns the schema of a file other than a spec, such as a test file."""
    definitions: dict[str, Any] = {}
    top = _build_object_schema(model, definitions, expressions=False)
    return {
        "$schema": _DRAFT,
        "title": title,
        **top,
        "definitions": {name: definitions[name] for name in sorted(definitions)},
    }


def _describe_property(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the description and the examples of a property."""
    return {
        key: value
        for key, value in schema["properties"][name].items()
        if key in ("description", "examples")
    }


def _build_step_schema(
    kinds: Mapping[str, type[ActionSchema]], definitions: dict[str, Any]
) -> dict[str, Any]:
    """Returns the schema of a step or a group; the definition ``Step`` is that of a step alone."""
    common = _build_object_schema(StepFields, definitions)["properties"]
    names = sorted(kinds)
    common["action"] = {**_describe_property({"properties": common}, "action"), "enum": names}
    branches = [
        {
            "if": {"properties": {"action": {"const": name}}, "required": ["action"]},
            "then": _build_branch(kind, common, definitions),
        }
        for name, kind in sorted(kinds.items())
    ]
    definitions["Step"] = {
        "type": "object",
        "required": ["id", "action"],
        "properties": {"id": common["id"], "action": common["action"]},
        "allOf": branches,
    }
    return {
        "type": "object",
        "properties": {"id": common["id"], "action": common["action"], "steps": True},
        "if": {"required": ["steps"]},
        "then": _build_group_schema(definitions),
        "else": {"$ref": "#/definitions/Step"},
    }


def _build_group_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _build_object_schema(GroupFields, definitions)
    inner = {**schema["properties"]["steps"], "items": {"$ref": "#/definitions/Step"}}
    return {
        "description": cleandoc(GroupFields.__doc__ or ""),
        **schema,
        "properties": {**schema["properties"], "steps": inner},
    }


def _build_branch(
    kind: type[ActionSchema], common: Mapping[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    """Returns the schema of one action's steps: common fields, roles and its own fields."""
    own = _build_object_schema(kind, definitions)
    roles = {
        name: {**_ROLE, "description": f"{_ROLE['description']} Instead of 'role'."}
        for name in kind.role_fields
        if name != "role"
    }
    return {
        "description": cleandoc(kind.__doc__ or ""),
        "properties": {**common, "role": _ROLE, **roles, **own["properties"]},
        "required": ["id", "action", *own.get("required", ())],
        "additionalProperties": False,
    }


def _build_object_schema(
    model: type[BaseModel], definitions: dict[str, Any], *, expressions: bool = True
) -> dict[str, Any]:
    """Returns a model's closed schema; nested models are added to the definitions."""
    made = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions.update(
        {
            name: _clean_schema(schema, expressions=expressions)
            for name, schema in made.pop("$defs", {}).items()
        }
    )
    return _clean_schema(made, expressions=expressions)


def _clean_schema(schema: Mapping[str, Any], *, expressions: bool) -> dict[str, Any]:
    """Removes titles and null, and allows expressions in each field."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "description")}
    kept["properties"] = {
        name: _build_field(name, field, expressions=expressions)
        for name, field in schema.get("properties", {}).items()
    }
    kept["additionalProperties"] = False
    return kept


def _build_field(name: str, field: Mapping[str, Any], *, expressions: bool) -> dict[str, Any]:
    plain = {
        key: value for key, value in _rename_bounds(_without_null(field)).items() if key != "title"
    }
    if not expressions or name in _KEPT_WHOLE or _takes_any_text(plain):
        return plain
    about: dict[str, Any] = {
        key: plain.pop(key) for key in ("description", "default", "examples") if key in plain
    }
    return {
        **about,
        "anyOf": [
            *(plain.get("anyOf", [plain]) if set(plain) <= {"anyOf"} else [plain]),
            _EXPRESSION,
        ],
    }


def _rename_bounds(field: Mapping[str, Any]) -> dict[str, Any]:
    """Renames limits that pydantic leaves under its own names."""
    renamed = {_BOUNDS.get(key, key): value for key, value in field.items()}
    if "anyOf" in renamed:
        renamed["anyOf"] = [_rename_bounds(choice) for choice in renamed["anyOf"]]
    return renamed


def _takes_any_text(field: Mapping[str, Any]) -> bool:
    """Returns True if the field accepts any text, and so an expression."""
    choices = field.get("anyOf", [field])
    return any(
        _EXPRESSION["pattern"] in str(choice.get("pattern", "")) or _is_free_text(choice)
        for choice in choices
    ) or not ({"type", "anyOf", "enum", "const", "$ref"} & set(field))


def _is_free_text(choice: Mapping[str, Any]) -> bool:
    kinds = choice.get("type", ())
    return "string" in ([kinds] if isinstance(kinds, str) else kinds) and not {
        "pattern",
        "enum",
        "const",
        "maxLength",
    } & set(choice)


def _without_null(field: Mapping[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {
        key: value
        for key, value in field.items()
        if key != "anyOf" and not (key == "default" and value is None)
    }
    if len(choices) == 1:
        return {**choices[0], **rest}
    return {**rest, **({"anyOf": choices} if choices else {})}
