"""Checks what a step reads from the items of its ``for_each``, or of its group's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from rolerunner.spec.expressions import Template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.scopes import ITEM_NAMES
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from rolerunner.spec.expressions import Expression
    from rolerunner.spec.grammar import Reference
    from rolerunner.spec.raw_step import RawStep


def find_item_mistake(
    step: RawStep, items: Optional[list[Any]], expression: Expression, reference: Reference
) -> tuple[str, str]:
    """Returns the message and the hint for a wrong ``item.NAME``; empty texts for a right one.

    ``items`` is None where they are known only during the run. A name that some items have is
    wrong where each item reads it, and the spec lists the items.
    """
    if _loops_over_objects(step.items):
        return _find_object_mistake(reference)
    if not items:
        return "", ""
    is_always_read = _is_always_read(step, expression, reference)
    errors = []
    for item in items:
        errors.append(_find_error(expression, reference, item))
        if errors[-1] is None and not is_always_read:
            return "", ""
    first = next((each for each in errors if each is not None), None)
    if first is None:
        return "", ""
    which = f", such as in item {errors.index(first)}" if None in errors else ""
    return f"{first}{which}", first.hint


def _is_always_read(step: RawStep, expression: Expression, reference: Reference) -> bool:
    """Returns True if each item of the spec's own list reads the name."""
    read_first = expression.text.partition("|")[0].strip() == str(reference)
    return read_first and isinstance(step.items, list) and "when" not in step.data


def _find_error(
    expression: Expression, reference: Reference, item: Any
) -> Optional[ExpressionError]:
    try:
        expression.look_up(reference, {"item": item})
    except ExpressionError as error:
        return error
    return None


def _find_object_mistake(reference: Reference) -> tuple[str, str]:
    part = "".join(reference.path[1:2])
    if not part or part in ITEM_NAMES:
        return "", ""
    hint = suggest_name(part, ITEM_NAMES) or f"known: {', '.join(ITEM_NAMES)}"
    return f"'item' of listed objects has no '{part}'", hint


def _loops_over_objects(items: Optional[Any]) -> bool:
    return (
        isinstance(items, Template)
        and items.whole is not None
        and items.text.strip(" ${}").endswith(".objects")
    )
