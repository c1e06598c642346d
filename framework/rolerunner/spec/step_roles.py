"""The roles of steps, and the permissions that steps declare for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.model import DeclaredPermission
from rolerunner.spec.expressions import Template, is_template
from rolerunner.spec.item_roles import choose_roles
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.step_fields import StepFields, describe_wrong_role
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolerunner.model import Role, RoleChoice
    from rolerunner.spec.document import Path
    from rolerunner.spec.permission_fields import PermissionFields
    from rolerunner.spec.raw_step import RawStep
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.roles import Roles
    from rolerunner.spec.step_fields import Defaults


def check_roles(step: RawStep, roles: Roles, defaults: Defaults, reader: SpecReader) -> None:
    """Reports roles that are missing or unknown."""
    for field, path, name in _iter_role_names(step, defaults):
        if name is None:
            _report_missing_role(step, field, reader)
        elif not isinstance(name, str):
            reader.add((*step.path, *path), f"'{path[-1]}' {describe_wrong_role(name)}")
        elif path and not is_template(name):
            roles.check(name, (*step.path, *path), reader)


def find_roles(step: RawStep, roles: Roles, defaults: Defaults) -> dict[str, Role]:
    """Returns role field -> role, without roles that have mistakes or that items choose."""
    found = {
        field: roles.find(name)
        for field, _, name in _iter_role_names(step, defaults)
        if isinstance(name, str) and not is_template(name)
    }
    return {field: role for field, role in found.items() if role is not None}


def find_role_choices(
    step: RawStep, roles: Roles, defaults: Defaults, reader: SpecReader
) -> dict[str, RoleChoice]:
    """Returns role field -> the roles that its items may choose; mistakes are reported."""
    return {
        field: choose_roles(step, path, roles, reader)
        for field, path, _ in _iter_role_names(step, defaults)
        if path in step.role_templates
    }


def check_permissions(step: RawStep, reader: SpecReader) -> None:
    """Reports mistakes in ``permissions`` that its model cannot find."""
    path = (*step.path, "permissions")
    if not isinstance(step.common, StepFields):
        return
    if isinstance(step.common.permissions, Template):
        reader.add(path, "'permissions' must be a list; its items may contain expressions")
        return
    for index, declared in enumerate(step.common.permissions):
        for key in ("actions", "conditions", "role"):
            for place, _ in iter_templates(getattr(declared, key), (*path, index, key)):
                message = f"'{key}' cannot contain an expression; only 'resources' can"
                reader.add(place, message)
        if step.schema is not None and _has_unknown_role(
            declared, (*step.role_fields, *step.nested_role_fields)
        ):
            known = (*step.role_fields, *step.nested_role_fields)
            hint = suggest_name(str(declared.role), known)
            reader.add(
                (*path, index, "role"),
                f"'{declared.role}' is not a role of this action",
                hint or f"{step.common.action} has {', '.join(known)}",
            )


def list_permissions(step: RawStep) -> tuple[DeclaredPermission, ...]:
    """Returns the permissions that the step declares; empty if the declaration is wrong."""
    declared = step.common.permissions if isinstance(step.common, StepFields) else []
    if isinstance(declared, Template):
        return ()
    if any(iter_templates([[each.actions, each.role, each.conditions] for each in declared])):
        return ()
    return tuple(map(_to_permission, declared))


def _iter_role_names(step: RawStep, defaults: Defaults) -> Iterator[tuple[str, Path, Any]]:
    """Yields the role field, the path of the key that names the role, and the name.

    The path is empty for the role of the defaults.
    """
    for field in step.role_fields:
        yield (field, *_find_role_name(step, [(field,), ("role",)], defaults))
    for field in step.nested_roles:
        # by default the role that reads the objects reads their list
        paths: list[Path] = [(field, "role"), ("role",), *((each,) for each in step.role_fields)]
        yield (f"{field}.role", *_find_role_name(step, paths, defaults))


def _find_role_name(step: RawStep, paths: Sequence[Path], defaults: Defaults) -> tuple[Path, Any]:
    """Returns the first path that has a value, and the value; else that of the defaults."""
    for path in paths:
        value: Any = step.data
        for key in path:
            value = value.get(key)
        if value is not None:
            return path, value
    return (), defaults.role


def _report_missing_role(step: RawStep, field: str, reader: SpecReader) -> None:
    hint = "add 'role: ALIAS', an ARN, or 'role: job' for the job's own role"
    if field in step.nested_role_fields:
        path = (*step.path, field.partition(".")[0])
        reader.add(path, f"the list of objects of the step '{step.id}' has no role", hint)
    elif step.schema is not None and step.schema.needs_role:
        reader.add(step.path, f"the step '{step.id}' has no role", hint)


def _has_unknown_role(declared: PermissionFields, known: tuple[str, ...]) -> bool:
    return isinstance(declared.role, str) and bool(known) and declared.role not in known


def _to_permission(declared: PermissionFields) -> DeclaredPermission:
    resources = declared.resources
    return DeclaredPermission(
        tuple(declared.actions),
        tuple(resources if isinstance(resources, list) else [resources]),
        role_field=declared.role or "",
        condition=tuple(
            (operator, key, tuple(values))
            for operator, keys in declared.conditions.items()
            for key, values in keys.items()
        ),
    )
