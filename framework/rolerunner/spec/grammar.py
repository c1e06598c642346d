"""Parses, checks and evaluates expressions. The only module that imports jinja2.

Jinja2 provides the grammar; its runtime is not used. This module evaluates a short list of node
types, so an expression cannot reach attributes of objects, call anything but filters, or loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser

from rolerunner.spec.filters import FILTERS, ExpressionError, check_size, format_value

_ENVIRONMENT = Environment(autoescape=False)  # noqa: S701 - renders no page; only its grammar is used
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    nodes.Add: operator.add,
    nodes.Sub: operator.sub,
    nodes.Mul: operator.mul,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: operator.mod,
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}
_LEAVES = (nodes.Const, nodes.TemplateData)
_ALLOWED = (
    *_LEAVES, *_BINARY, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Concat,
    nodes.CondExpr, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
)  # fmt: skip
_REFUSED: dict[type, str] = {
    nodes.Call: "calls are not allowed; use a filter, as in ${{ run.date | format('%Y') }}",
    nodes.Pow: "'**' is not allowed",
    nodes.Slice: "slices are not allowed",
    nodes.Test: "'is' tests are not allowed; compare with == instead",
}


@dataclass(frozen=True)
class Reference:
    """A name that an expression reads: ("steps", "find", "count") for ``steps.find.count``."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class ExpressionTree:
    """A parsed expression."""

    root: nodes.Expr
    references: tuple[Reference, ...]
    """The names that it reads."""

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Returns the value with its native type.

        Raises ExpressionError, and whatever its operators raise.
        """
        return _evaluate_node(self.root, scope)


def parse_expression(text: str, offset: int) -> ExpressionTree:
    """Parses an expression at ``offset`` of a text. Raises ExpressionError."""
    try:
        parser = Parser(_ENVIRONMENT, text, state="variable")
        root = parser.parse_expression()
        if not parser.stream.eos:
            rest = parser.stream.current.value
            message = f"'{text.strip()}' is not one expression: '{rest}' is left over"
            raise ExpressionError(message, offset)
        _check_node(root, offset)
    except TemplateSyntaxError as error:
        raise ExpressionError(
            f"'{text.strip()}' is not an expression: {error.message}", offset
        ) from None
    except RecursionError:
        raise ExpressionError("an expression is nested too deeply", offset) from None
    return ExpressionTree(root, tuple(_collect_references(root)))


def _check_node(node: nodes.Node, offset: int) -> None:
    if type(node) not in _ALLOWED:
        kind = type(node)
        raise ExpressionError(
            _REFUSED.get(kind, f"{kind.__name__} is not allowed in an expression"), offset
        )
    if isinstance(node, nodes.Filter):
        _check_filter(node, offset)
    if isinstance(node, nodes.Getattr) and _read_path(node) is None:
        raise ExpressionError(
            f"'.{node.attr}' must follow a name such as params or steps.ID", offset
        )
    for child in node.iter_child_nodes():
        _check_node(child, offset)


def _check_filter(node: nodes.Filter, offset: int) -> None:
    if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None or node.kwargs:
        raise ExpressionError(f"the filter '{node.name}' takes plain arguments only", offset)
    known = FILTERS.get(node.name)
    if known is None:
        raise ExpressionError(
            f"there is no filter '{node.name}'", offset, wrong=node.name, right=tuple(FILTERS)
        )
    low, high = known.arguments
    if not low <= len(node.args) <= high:
        count = str(low) if low == high else f"{low} to {high}"
        raise ExpressionError(
            f"the filter '{node.name}' takes {count} argument(s), not {len(node.args)}", offset
        )


def _read_path(node: nodes.Node) -> Optional[tuple[str, ...]]:
    """Returns the path of a chain of names such as ``steps.find.count``; None for other nodes."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        before = _read_path(node.node)
        return None if before is None else (*before, node.attr)
    if (
        isinstance(node, nodes.Getitem)
        and isinstance(node.arg, nodes.Const)
        and isinstance(node.arg.value, str)
    ):
        before = _read_path(node.node)  # steps['find-it'].count: an id with a hyphen
        return None if before is None else (*before, node.arg.value)
    return None


def _collect_references(node: nodes.Node) -> list[Reference]:
    path = _read_path(node)
    if path is not None:
        return [Reference(path)]
    return [
        reference for child in node.iter_child_nodes() for reference in _collect_references(child)
    ]


def _evaluate_node(node: Any, scope: Mapping[str, Any]) -> Any:
    path = _read_path(node)
    if path is not None:
        return _look_up(path, scope)
    kind = type(node)
    if kind in _LEAVES:
        return check_size(node.value if kind is nodes.Const else node.data)
    if kind in _BINARY:
        return _calculate(kind, _evaluate_node(node.left, scope), _evaluate_node(node.right, scope))
    if kind is nodes.Filter:
        arguments = [_evaluate_node(argument, scope) for argument in node.args]
        return check_size(FILTERS[node.name].function(_evaluate_node(node.node, scope), *arguments))
    if kind is nodes.Compare:
        return _evaluate_comparison(node, scope)
    if kind is nodes.Getitem:
        return _evaluate_node(node.node, scope)[_evaluate_node(node.arg, scope)]
    return _EVALUATE[kind](node, scope)


def _evaluate_condition(node: nodes.CondExpr, scope: Mapping[str, Any]) -> Any:
    if _evaluate_node(node.test, scope):
        return _evaluate_node(node.expr1, scope)
    return None if node.expr2 is None else _evaluate_node(node.expr2, scope)


_EVALUATE: dict[type, Callable[[Any, Mapping[str, Any]], Any]] = {
    nodes.And: lambda node, scope: (
        _evaluate_node(node.left, scope) and _evaluate_node(node.right, scope)
    ),
    nodes.Or: lambda node, scope: (
        _evaluate_node(node.left, scope) or _evaluate_node(node.right, scope)
    ),
    nodes.Not: lambda node, scope: not _evaluate_node(node.node, scope),
    nodes.Neg: lambda node, scope: -_evaluate_node(node.node, scope),
    nodes.Pos: lambda node, scope: +_evaluate_node(node.node, scope),
    nodes.Concat: lambda node, scope: check_size(
        "".join(format_value(_evaluate_node(part, scope)) for part in node.nodes)
    ),
    nodes.CondExpr: _evaluate_condition,
    nodes.List: lambda node, scope: [_evaluate_node(item, scope) for item in node.items],
    nodes.Tuple: lambda node, scope: [_evaluate_node(item, scope) for item in node.items],
    nodes.Dict: lambda node, scope: {
        _evaluate_node(pair.key, scope): _evaluate_node(pair.value, scope) for pair in node.items
    },
}


def _evaluate_comparison(node: nodes.Compare, scope: Mapping[str, Any]) -> bool:
    left = _evaluate_node(node.expr, scope)
    for operand in node.ops:
        right = _evaluate_node(operand.expr, scope)
        if not _COMPARE[operand.op](left, right):
            return False
        left = right
    return True


def _calculate(kind: type, left: Any, right: Any) -> Any:
    repeats = kind in (nodes.Mul, nodes.Mod) and not (_is_number(left) and _is_number(right))
    if repeats:  # 'x' * 10**9 fills memory, and '%1000000000d' % 1 does too
        raise ExpressionError(
            f"both sides must be numbers for '{'*' if kind is nodes.Mul else '%'}'"
        )
    return check_size(_BINARY[kind](left, right))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _look_up(path: tuple[str, ...], scope: Mapping[str, Any]) -> Any:
    value: Any = scope
    for depth, name in enumerate(path):
        if not isinstance(value, Mapping):
            raise ExpressionError(
                f"'{'.'.join(path[:depth])}' has no parts, so '{'.'.join(path)}' does not exist"
            )
        if name not in value:
            known = tuple(str(key) for key in value)
            raise ExpressionError(
                f"there is no '{'.'.join(path[: depth + 1])}'", wrong=name, right=known
            )
        value = value[name]
    return value
