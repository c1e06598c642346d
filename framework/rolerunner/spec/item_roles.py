"""The roles that the items of a step choose: ``role: ${{ item.role }}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from rolerunner.model import RoleChoice
from rolerunner.spec.expressions import Template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.spec.validation import describe_value
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from rolerunner.spec.document import Path
    from rolerunner.spec.raw_step import RawStep
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.roles import Roles


def choose_roles(step: RawStep, path: Path, roles: Roles, reader: SpecReader) -> RoleChoice:
    """Returns the roles that the items may choose by the expression of a role.

    Where the items are known, these are the roles that they give; else those that 'roles' lists.
    """
    template = step.role_templates[path]
    declared = _list_declared(step)
    items = list_known_items(step, reader)
    if items is None:
        if declared is None and not _depends_on_params_alone(step.items):
            hint = "add 'roles: [ALIAS, ...]' with all that it may give; others are refused"
            message = f"'{path[-1]}' depends on items that are known only during the run"
            reader.add((*step.path, *path), message, hint)
        names = declared or []
    else:
        names = _list_aliases(step, path, items, roles, reader)
    found = {name: roles.find(name) for name in names if not name.startswith("arn:")}
    return RoleChoice(template, {name: role for name, role in found.items() if role is not None})


def check_declared_roles(step: RawStep, roles: Roles, reader: SpecReader) -> None:
    """Reports mistakes in ``roles`` of a step or group."""
    names, path = step.common.roles, (*step.path, "roles")
    if names is None:
        return
    if isinstance(names, Template):
        reader.add(path, "'roles' must be a list of aliases; it cannot be an expression")
        return
    for index, name in enumerate(names):
        if isinstance(name, str):
            roles.check(name, (*path, index), reader)
    if not any(each.role_templates for each in (step, *step.steps)):
        hint = "remove it, or write 'role: ${{ item.role }}'"
        message = "'roles' is for a 'role' that is an expression"
        reader.add(path, message, hint, key=True)


def list_known_items(step: RawStep, reader: SpecReader) -> Optional[list[Any]]:
    """Returns the items of a step or its group; None if they depend on values not known yet."""
    items = reader.fill_known(step.items, step.items_path)
    if not isinstance(items, list):
        return None
    is_written = isinstance(step.items, list)  # values of params have no templates
    return None if is_written and any(iter_templates(items)) else items


def _depends_on_params_alone(items: Any) -> bool:
    """Returns True if only the values of params are missing to know the items."""
    templates = (template for _, template in iter_templates(items))
    heads = (reference.path[0] for each in templates for reference in each.references)
    return all(head in ("params", "today", "now") for head in heads)


def _list_declared(step: RawStep) -> Optional[list[str]]:
    """Returns the aliases under ``roles`` of the step or of its group; None without them."""
    for each in (step, step.group):
        names = None if each is None else each.common.roles
        if names is not None:
            return [] if isinstance(names, Template) else [str(name) for name in names]
    return None


def _list_aliases(
    step: RawStep, path: Path, items: list[Any], roles: Roles, reader: SpecReader
) -> list[str]:
    """Returns the aliases that known items give; reports those that no role has."""
    found: dict[str, None] = {}
    declared = _list_declared(step)
    template = step.role_templates[path]
    scope = {"params": reader.known.params, **reader.known.clock}
    for index, item in enumerate(items):
        place = _find_place(step, path, index, template, reader)
        try:
            alias = template.evaluate({**scope, "item": item})
        except ExpressionError as error:
            reader.add(place, f"item {index} gives no role: {error}")
            continue
        if not isinstance(alias, str):
            hint = "it must be an alias of 'roles'"
            reader.add(place, f"item {index} gives {describe_value(alias)} as its role", hint)
        elif not roles.is_known(alias):
            hint = suggest_name(alias, roles.list_aliases()) or "declare it under 'roles'"
            reader.add(place, f"there is no role '{alias}', which item {index} gives", hint)
        elif declared is not None and alias not in declared:
            message = f"item {index} gives the role '{alias}', which 'roles' does not list"
            reader.add(place, message)
        else:
            found[alias] = None
    return list(found)


def _find_place(
    step: RawStep, path: Path, index: int, template: Template, reader: SpecReader
) -> Path:
    """Returns where a literal item gives its role, else the item, else the expression."""
    item: Path = (*step.items_path, index)
    names = () if template.name is None else template.name.path[1:]
    places = ((*item, *names), item, (*step.path, *path))
    return next(place for place in places if reader.document.holds(place))
