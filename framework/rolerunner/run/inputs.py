"""Resolves the templates of a step, and collects what its fingerprint covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolerunner.errors import FieldError
from rolerunner.redaction.sealing import has_secret_value
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import fill_templates, iter_templates
from rolerunner.spec.object_templates import ObjectTemplate
from rolerunner.spec.validation import list_messages

if TYPE_CHECKING:
    from rolerunner.actions.base import Action
    from rolerunner.model import Role, RoleChoice, Step

_FIELDS_OF_CALL = frozenset({"idempotent"})
"""Fields about how a step is called, not about what it does."""
_SUCCESSES = ("succeeded", "warning")
"""Statuses of steps that have outputs."""


def resolve_templates(step: Step, value: Any, scope: Mapping[str, Any]) -> Any:
    """Returns a value with its expressions evaluated. Raises FieldError."""
    try:
        return fill_templates(value, scope)
    except ExpressionError as error:
        hint = _explain_missing_output(value, scope)
        raise FieldError(f"{step.mark}: {error}", hint=hint) from error


def _explain_missing_output(value: Any, scope: Mapping[str, Any]) -> str:
    """Returns the hint for an output that is missing since its step was skipped or failed."""
    paths = [each.path for _, template in iter_templates(value) for each in template.references]
    for name in (path[1] for path in paths if path[0] == "steps" and len(path) > 1):
        outputs = scope.get("steps", {}).get(name, {})
        if list(outputs) == ["status"] and outputs["status"] not in _SUCCESSES:
            has = {"failed": "failed", "skipped": "was skipped"}.get(
                outputs["status"], "did not run"
            )
            condition = f"when: ${{{{ steps.{name}.status == 'succeeded' }}}}"
            return (
                f"the step '{name}' {has}, so it has no outputs; test that first, as in {condition}"
            )
    return ""


def build_action(
    step: Step, scope: Mapping[str, Any], actions: Mapping[str, type[Action]]
) -> Action:
    """Returns the step's action with every template resolved. Raises FieldError."""
    kind = actions[step.action]
    values = resolve_templates(step, dict(step.fields), scope)
    _reject_secrets(step, kind, values)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise FieldError(f"{step.mark}: {'; '.join(list_messages(error))}") from None


def fingerprint_inputs(step: Step, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all inputs of a step, templates resolved; what differs in each run is left empty.

    Raises FieldError.
    """
    stable = {**scope, "run": {**scope["run"], "id": "", "error": ""}}
    roles = {f"role {name}": _describe_role(role) for name, role in step.roles.items()}
    chosen = {
        f"role {name}": [str(choice.alias), *_list_options(choice)]
        for name, choice in step.role_choices.items()
    }
    head = {"action": step.action, **roles, **chosen}
    fields = {name: value for name, value in step.fields.items() if name not in _FIELDS_OF_CALL}
    if step.for_each is None:
        resolved = {name: resolve_templates(step, each, stable) for name, each in fields.items()}
        return {**head, **resolved}
    items = resolve_templates(step, step.for_each, stable)
    resolved = {name: _resolve_unless_item(step, each, stable) for name, each in fields.items()}
    return {**head, "for_each": items, **resolved}


def _describe_role(role: Role) -> list[str]:
    return [role.arn, role.external_id, str(role.via or "")]


def _list_options(choice: RoleChoice) -> list[list[str]]:
    return [[alias, *_describe_role(role)] for alias, role in choice.options.items()]


def _resolve_unless_item(step: Step, value: Any, scope: Mapping[str, Any]) -> Any:
    """Returns a field's text if it reads ``item``: the items themselves are covered already."""
    references = (reference for _, each in iter_templates(value) for reference in each.references)
    if any(reference.path[0] == "item" for reference in references):
        return str(value)
    return resolve_templates(step, value, scope)


def _reject_secrets(step: Step, action: type[Action], values: Mapping[str, Any]) -> None:
    """Raises FieldError for a secret in a field whose value is shown or stored."""
    for path, value in _walk_values(values):
        if has_secret_value(value) and not action.accepts_secret(path):
            hint = (
                "secrets may be used in arguments of python.call, parameters of aws.call, "
                "a customer_key, and the credentials of SFTP"
            )
            name = ".".join(map(str, path))
            raise FieldError(f"{step.mark}: '{name}' would get a secret", hint=hint)


def _walk_values(values: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yields the path and value of each leaf."""
    pending: list[tuple[tuple[Any, ...], Any]] = [((name,), each) for name, each in values.items()]
    while pending:
        path, value = pending.pop()
        value = list(value.inputs.values()) if isinstance(value, ObjectTemplate) else value
        if isinstance(value, (dict, list)):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            pending += [((*path, key), each) for key, each in pairs]
        else:
            yield path, value
