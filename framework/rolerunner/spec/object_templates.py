"""Templates that read ``object``: bound to a step's values once, then evaluated for each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime, timezone
from operator import itemgetter
from typing import Any, Optional

from rolerunner.lazy_dataclass import dataclass
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
OBJECT_NAMES = tuple(OBJECT_SAMPLE)
ObjectValues = tuple[Any, ...]
"""The values of an object in the order of OBJECT_NAMES."""


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

    def compile(self) -> Callable[[ObjectValues], str]:
        """Returns a function that takes an object's values in the order of OBJECT_NAMES.

        It takes less than a microsecond for a template that only reads names.
        """
        forms = [_format_part(part) for part in self.parts]
        if None not in forms:
            return _compile_format([form for form in forms if form is not None])
        text = "".join(
            each.replace("%", "%%") if isinstance(each, str) else "%s" for each in self.parts
        )
        evaluators = [
            _compile_expression(part, self._known)
            for part in self.parts
            if isinstance(part, Expression)
        ]

        def evaluate(values: ObjectValues) -> str:
            try:
                found = [each(values) for each in evaluators]
                for value in found:
                    if value.__class__ is not str:
                        found = list(map(format_value, found))
                        break
            except Exception:  # noqa: BLE001 - operators may raise anything; which one is told below
                return self.evaluate(dict(zip(OBJECT_NAMES, values)))
            return text % tuple(found)

        return evaluate


def _compile_expression(
    expression: Expression, known: Mapping[str, Any]
) -> Callable[[ObjectValues], Any]:
    """Returns a function that evaluates the expression, in which all but ``object`` is constant."""
    constants = {
        each.path: expression.look_up(each, known)
        for each in expression.references
        if each.path[0] != OBJECT
    }

    def resolve(path: tuple[str, ...]) -> Callable[[ObjectValues], Any]:
        if path in constants:
            value = constants[path]
            return lambda _: value
        if len(path) == 2 and path[1] in OBJECT_SAMPLE:  # noqa: PLR2004 - object.NAME
            return itemgetter(OBJECT_NAMES.index(path[1]))
        return _refuse_values  # object itself, which is slower

    return expression.compile(resolve)


def _refuse_values(_: ObjectValues) -> Any:
    raise LookupError


def _format_part(part: Any) -> Optional[tuple[str, int]]:
    """Returns a part for ``%``, with the position of the value that it reads; -1 for a text.

    None stands for an expression that does more than read a name.
    """
    if isinstance(part, str):
        return part.replace("%", "%%"), -1
    name = part.text.removeprefix(f"{OBJECT}.")
    is_name = name != part.text and name in OBJECT_SAMPLE
    return ("%s", OBJECT_NAMES.index(name)) if is_name else None


def _compile_format(forms: list[tuple[str, int]]) -> Callable[[ObjectValues], str]:
    text = "".join(form for form, _ in forms)
    positions = [position for _, position in forms if position >= 0]
    if not positions:
        return lambda _: text % ()
    if len(positions) == 1:
        position = positions[0]
        return lambda values: text % (values[position],)
    pick = itemgetter(*positions)
    return lambda values: text % pick(values)


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
