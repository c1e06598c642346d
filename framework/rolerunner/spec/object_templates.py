"""Templates that read ``object``: bound to a step's values once, then evaluated for each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from rolerunner.spec.expressions import Expression, Template
from rolerunner.spec.filters import ExpressionError, check_size, format_value

OBJECT = "object"
OBJECT_SAMPLE: Mapping[str, Any] = {
    "key": "orders/2026/part-1.csv",
    "relative": "2026/part-1.csv",
    "folder": "2026/",
    "name": "part-1.csv",
    "stem": "part-1",
    "suffix": ".csv",
    "size": 1,
    "modified": datetime(2026, 1, 31, tzinfo=timezone.utc),
    "number": 1,
}
"""An object as expressions see it; its keys are the names under ``object``."""


@dataclass(frozen=True)
class ObjectTemplate:
    """A template that is text for each object; all else that it reads is known."""

    parts: tuple[Any, ...]
    """Texts, and the expressions that read ``object``."""
    inputs: Mapping[str, Any]
    """The values that the template reads besides ``object``, by name."""
    _known: Mapping[str, Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return "".join(
            part if isinstance(part, str) else f"${{{{ {part.text} }}}}" for part in self.parts
        )

    @property
    def names(self) -> frozenset[str]:
        """The names under ``object`` that it reads."""
        return frozenset(
            name
            for part in self.parts
            if isinstance(part, Expression)
            for name in _list_names(part)
        )

    def evaluate(self, values: Mapping[str, Any]) -> str:
        """Returns the text for an object. Raises ExpressionError."""
        scope = {**self._known, OBJECT: values}
        return "".join(
            part if isinstance(part, str) else format_value(part.evaluate_plain(scope))
            for part in self.parts
        )

    def compile(self) -> Callable[[dict[str, Any]], str]:
        """Returns ``evaluate`` in a form that takes less than a microsecond for most templates.

        It is for one thread.
        """
        pieces = list(map(_format_piece, self.parts))
        if None not in pieces:
            return "".join(pieces).__mod__
        scope = dict(self._known)
        evaluators: list[Any] = [
            part if isinstance(part, str) else part.evaluator for part in self.parts
        ]

        def evaluate(values: dict[str, Any]) -> str:
            scope[OBJECT] = values
            texts = []
            try:
                for each in evaluators:
                    value = each if each.__class__ is str else each(scope)
                    texts.append(value if value.__class__ is str else format_value(value))
            except Exception:  # noqa: BLE001 - operators may raise anything; which one is told below
                return self.evaluate(values)
            return "".join(texts)

        return evaluate


def _format_piece(part: Any) -> Any:
    """Returns a part for ``%``; None for an expression that does more than read a name."""
    if isinstance(part, str):
        return part.replace("%", "%%")
    name = part.text.removeprefix(f"{OBJECT}.")
    return f"%({name})s" if name != part.text and name in OBJECT_SAMPLE else None


def reads_object(value: Any) -> bool:
    """Returns True if a value is a template that reads ``object``."""
    return isinstance(value, Template) and any(
        reference.path[0] == OBJECT for reference in value.references
    )


def list_object_names(value: Any) -> frozenset[str]:
    """Returns the names under ``object`` that a field reads, whether it is bound or not."""
    if isinstance(value, ObjectTemplate):
        return value.names
    expressions = value.expressions if isinstance(value, Template) else ()
    return frozenset(name for each in expressions for name in _list_names(each))


def bind_template(template: Template, scope: Mapping[str, Any]) -> ObjectTemplate:
    """Evaluates all that does not depend on ``object``. Raises ExpressionError."""
    parts: list[Any] = []
    inputs: dict[str, Any] = {}
    for part in template.parts:
        if not isinstance(part, Expression):
            parts.append(part)
            continue
        others = [each for each in part.references if each.path[0] != OBJECT]
        inputs.update({str(each): part.look_up(each, scope) for each in others})
        is_known = len(others) == len(part.references)
        parts.append(check_size(format_value(part.evaluate(scope))) if is_known else part)
    return ObjectTemplate(
        tuple(parts), inputs, {name: each for name, each in scope.items() if name != OBJECT}
    )


def find_type_mistake(expression: Expression, scope: Mapping[str, Any]) -> str:
    """Returns why an expression is wrong for every object; empty if it may be right.

    It is evaluated for a sample. An index out of range or text that is no number say nothing of
    other objects.
    """
    try:
        format_value(expression.evaluate({**scope, OBJECT: OBJECT_SAMPLE}))
    except ExpressionError as error:
        if error.__cause__ is None or isinstance(error.__cause__, TypeError):
            return str(error)
    return ""


def _list_names(expression: Expression) -> list[str]:
    return [
        reference.path[1]
        for reference in expression.references
        if reference.path[0] == OBJECT and len(reference.path) > 1
    ]
