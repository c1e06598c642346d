"""Checks what a step reads from the items of its ``for_each``, or of its group's."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.spec.expressions import Template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.item_roles import list_known_items
from rolerunner.spec.scopes import ITEM_NAMES
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from rolerunner.spec.expressions import Expression
    from rolerunner.spec.grammar import Reference
    from rolerunner.spec.raw_step import RawStep
    from rolerunner.spec.reader import SpecReader


class ItemReferences:
    """Finds names that the items of a step do not have."""

    def __init__(self, step: RawStep, reader: SpecReader) -> None:
        self._step, self._reader = step, reader

    def find_mistake(self, expression: Expression, reference: Reference) -> tuple[str, str]:
        """Returns the message and the hint for a wrong ``item.NAME``; empty for a right one.

        A name that some items have is wrong where each item reads it, and the spec lists the items.
        """
        if _loops_over_objects(self._step.items):
            return _find_object_mistake(reference)
        items = self._known_items
        if not items:
            return "", ""
        errors = [_find_error(expression, reference, item) for item in items]
        first = next((each for each in errors if each is not None), None)
        if first is None or (None in errors and not self._is_always_read(expression, reference)):
            return "", ""
        which = f", such as in item {errors.index(first)}" if None in errors else ""
        return f"{first}{which}", suggest_name(first.wrong, first.right) if first.wrong else ""

    @cached_property
    def _known_items(self) -> Optional[list[Any]]:
        return list_known_items(self._step, self._reader)

    def _is_always_read(self, expression: Expression, reference: Reference) -> bool:
        """Returns True if each item of the spec's own list reads the name."""
        read_first = expression.text.partition("|")[0].strip() == str(reference)
        return read_first and isinstance(self._step.items, list) and "when" not in self._step.data


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
