"""Renders the reference of the actions from their code, as Markdown."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, get_args

from rolerunner.errors import UsageError
from rolerunner.spec.field_types import StrictModel
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from rolerunner.actions.base import Action

_SHARED = (
    "max_failures",
    "max_requests_per_second",
    "bandwidth",
    "request_payer",
    "expected_bucket_owner",
    "distribute",
)
"""Fields that many actions share, which come last."""


def index(actions: Mapping[str, type[Action]]) -> str:
    """Returns the index page: every action with its first line."""
    rows = [
        f"| [{name}]({name}.md) | {_doc(action).splitlines()[0]} |"
        f" {', '.join(action.outputs or ['what it returns'])} |"
        for name, action in actions.items()
    ]
    return "\n".join(["# Actions", "", "| action | does | outputs |", "|---|---|---|", *rows, ""])


def page(name: str, actions: Mapping[str, type[Action]]) -> str:
    """Returns the page of an action. Raises UsageError if it does not exist."""
    action = actions.get(name)
    if action is None:
        hint = suggest_name(name, actions) or f"known: {', '.join(sorted(actions))}"
        raise UsageError(f"there is no action '{name}' ({hint})")
    permissions = inspect.cleandoc(action.permissions.__doc__ or "")
    parts = [
        f"# {name}", _doc(action),
        "## Example", _example(action),
        "## Fields", _roles(action), "\n".join(_fields(action)),
        "## Outputs", "\n".join(_outputs(action)),
        "## Permissions", permissions,
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _doc(action: type[Action]) -> str:
    return inspect.cleandoc(action.__doc__ or "")


def _roles(action: type[Action]) -> str:
    if action.role_fields == ("role",):
        return ""
    roles = ", ".join(f"`{field}`" for field in action.role_fields)
    return f"Its roles: {roles}; `role` is the default of each."


def _fields(action: type[Action]) -> Iterator[str]:
    yield "| field | default | means | example |"
    yield "|---|---|---|---|"
    fields = action.model_fields.items()
    own = set(action.__annotations__)
    for name, field in sorted(
        fields, key=lambda each: (not each[1].is_required(), each[0] not in own, each[0] in _SHARED)
    ):
        examples = ", ".join(f"`{_short(each)}`" for each in field.examples or ())
        meaning = _cell((field.description or "") + _inside(field))
        yield f"| `{field.alias or name}` | {_default(field)} | {meaning} | {_cell(examples)} |"


def _inside(field: FieldInfo) -> str:
    """Of a field that is a mapping of its own: the keys in it."""
    model = next(
        (
            each
            for each in (field.annotation, *get_args(field.annotation))
            if isinstance(each, type) and issubclass(each, StrictModel)
        ),
        None,
    )
    if model is None:
        return ""
    return " Keys: " + " ".join(
        f"`{name}`: {inner.description}" for name, inner in model.model_fields.items()
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, [], {}) else f"`{_short(value)}`"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _outputs(action: type[Action]) -> Iterator[str]:
    if action.outputs is None:
        yield "Whatever it returns: the keys of a mapping, or `result`."
        return
    for name, meaning in action.outputs.items():
        yield f"* `{name}`: {meaning}"


def _example(action: type[Action]) -> str:
    """Returns a complete spec with one step that has the required and example fields."""
    fields = {
        (field.alias or name): field.examples[0]
        for name, field in action.model_fields.items()
        if field.is_required() and field.examples
    }
    fields.update(action.example)
    roles = {
        "reader": "arn:aws:iam::111122223333:role/reader",
        "writer": "arn:aws:iam::444455556666:role/writer",
    }
    named = (
        {"role": "reader"}
        if action.role_fields == ("role",)
        else dict(zip(action.role_fields, roles))
    )
    lines = [f"# file: {action.kind}.yaml", "version: 1", "name: example"]
    if any("params.customer_key" in str(value) for value in fields.values()):
        lines += ["params:", "  customer_key: {type: string, required: true}"]
    lines += [
        "roles:",
        *(f"  {name}: {roles[name]}" for name in dict.fromkeys(named.values())),
        "steps:",
    ]
    lines += [
        f"  - id: it\n    action: {action.kind}",
        *(f"    {field}: {role}" for field, role in named.items()),
    ]
    lines += [f"    {name}: {_yaml(value)}" for name, value in fields.items()]
    return "\n".join(["```yaml", *lines, "```"])


def _yaml(value: Any) -> str:
    """A value in YAML's flow style, which JSON is a part of."""
    plain = (
        isinstance(value, str)
        and value
        and value[0].isalnum()
        and not any(mark in value for mark in (": ", " #", "{", "["))
    )
    return (
        str(value)
        if plain and not isinstance(value, bool)
        else json.dumps(value, ensure_ascii=False)
    )
