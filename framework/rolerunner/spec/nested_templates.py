"""Finds and evaluates the templates inside nested values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.spec.expressions import Template
from rolerunner.spec.object_templates import bind_template, reads_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.spec.document import Path


class _BrokenExpression:
    """Marks a template with an invalid expression, so that it is never evaluated."""


BROKEN_EXPRESSION = _BrokenExpression()


def iter_templates(value: Any, path: Path = ()) -> Iterator[tuple[Path, Template]]:
    """Yields every template inside a value, with its path."""
    if isinstance(value, Template):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from iter_templates(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from iter_templates(each, (*path, index))


def fill_templates(value: Any, scope: Mapping[str, Any]) -> Any:
    """Returns the value with every template evaluated. Raises ExpressionError.

    A template that reads ``object`` becomes one that only an object is missing for.
    """
    if isinstance(value, Template):
        return bind_template(value, scope) if reads_object(value) else value.evaluate(scope)
    if isinstance(value, dict):
        return {key: fill_templates(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_templates(each, scope) for each in value]
    return value
