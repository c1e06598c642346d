"""Renders the reference of the actions from their code, as Markdown."""

from __future__ import annotations

import inspect
import json
import re
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
        f"| [{name}]({name}.md) | {_render_doc(action).splitlines()[0]} |"
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
        f"# {name}", _render_doc(action),
        "## Example", _render_example(action),
        "## Fields", _render_roles(action), "\n".join(render_fields(action)),
        "## Outputs", "\n".join(_render_outputs(action)),
        "## Permissions", permissions,
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _render_doc(action: type[Action]) -> str:
    return inspect.cleandoc(action.__doc__ or "")


def _render_roles(action: type[Action]) -> str:
    if action.role_fields == ("role",):
        return ""
    roles = ", ".join(f"`{field}`" for field in action.role_fields)
    return f"Its roles: {roles}; `role` is the default of each."


def render_fields(model: type[StrictModel]) -> Iterator[str]:
    """Yields the lines of a table of the fields of a model."""
    yield "| field | default | means | example |"
    yield "|---|---|---|---|"
    fields = model.model_fields.items()
    own = set(model.__annotations__)
    for name, field in sorted(
        fields, key=lambda each: (not each[1].is_required(), each[0] not in own, each[0] in _SHARED)
    ):
        examples = ", ".join(f"`{_shorten_value(each)}`" for each in field.examples or ())
        cells = [
            f"`{field.alias or name}`",
            _render_default(field),
            _escape_cell((field.description or "") + _render_nested_keys(field)),
            _escape_cell(examples),
        ]
        yield f"| {' | '.join(cells)} |"


def _render_nested_keys(field: FieldInfo) -> str:
    """Returns the keys of a field that is a mapping of its own."""
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
        f"`{inner.alias or name}`: {inner.description}"
        for name, inner in model.model_fields.items()
    )


def _render_default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, float) and all(isinstance(each, str) for each in field.examples or ()):
        return f"`{value:g}s`"  # a duration, whose examples are text such as 5m
    return "" if value in (None, [], {}) else f"`{_shorten_value(value)}`"


def _shorten_value(value: Any) -> str:
    is_plain = isinstance(value, str) and value.isprintable() and value != ""
    return str(value) if is_plain else json.dumps(value)


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|")


def _render_outputs(action: type[Action]) -> Iterator[str]:
    if action.outputs is None:
        yield "Whatever it returns: the keys of a mapping, or `result`."
        return
    for name, meaning in action.outputs.items():
        yield f"* `{name}`: {meaning}"


def _render_example(action: type[Action]) -> str:
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
    params = {
        name: "secret: true, required: true" if field in action.secret_fields else "required: true"
        for field, value in fields.items()
        for name in re.findall(r"params\.(\w+)", str(value))
    }
    lines += ["params:"] if params else []
    lines += [f"  {name}: {{type: string, {rules}}}" for name, rules in params.items()]
    lines += [
        "roles:",
        *(f"  {name}: {roles[name]}" for name in dict.fromkeys(named.values())),
        "steps:",
    ]
    lines += [
        f"  - id: it\n    action: {action.kind}",
        *(f"    {field}: {role}" for field, role in named.items()),
    ]
    lines += [f"    {name}: {_render_yaml(value)}" for name, value in fields.items()]
    return "\n".join(["```yaml", *lines, "```"])


def _render_yaml(value: Any) -> str:
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
