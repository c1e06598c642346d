"""Finds the roles of a step whose items choose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from rolerunner.common.json_values import safe_text
from rolerunner.errors import FieldError
from rolerunner.run.inputs import resolve_templates
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from rolerunner.model import Role, RoleChoice, Step

_MAX_SHOWN = 80
"""Characters of a wrong alias in a message."""


def bind_roles(step: Step, read_scope: Callable[[], Mapping[str, Any]]) -> Step:
    """Returns the step under the roles that its item chooses.

    Raises FieldError for a role that the step may not use.
    """
    if not step.role_choices:
        return step
    scope = read_scope()
    chosen = {
        name: _choose_role(step, name, choice, scope) for name, choice in step.role_choices.items()
    }
    return replace(step, roles={**step.roles, **chosen}, role_choices={})


def _choose_role(step: Step, field: str, choice: RoleChoice, scope: Mapping[str, Any]) -> Role:
    alias = resolve_templates(step, choice.alias, scope)
    role = choice.options.get(alias) if isinstance(alias, str) else None
    if role is not None:
        return role
    shown, known = safe_text(alias)[:_MAX_SHOWN], list(choice.options)
    hint = suggest_name(shown, known) or f"it may be {', '.join(known) or 'no role'}"
    raise FieldError(
        f"{step.mark}: '{field}' gives '{shown}', which is not a role that this step may use",
        hint=f"{hint}; 'roles' lists what items may choose",
    )
