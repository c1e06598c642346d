"""Parses, checks and evaluates expressions. The only module that imports jinja2.

Jinja2 provides the grammar; its runtime is not used. This module evaluates a short list of node
types, so an expression cannot reach attributes of objects, call anything but filters, or loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, Optional

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser

from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.bound_filters import bind_filter
from rolerunner.spec.filters import FILTERS, ExpressionError, check_size, format_value
from rolerunner.spec.foreign_expressions import (
    suggest_date_form,
    suggest_filter,
    suggest_for_call,
    suggest_operator,
)
from rolerunner.spec.values import suggest_name

Evaluator = Callable[[Any], Any]
"""Takes the values that an expression can read, and returns its own."""
Resolver = Callable[[tuple[str, ...]], Evaluator]
"""Takes a path such as ("params", "date"), and returns what looks it up."""
_Compiler = Callable[[Any], Evaluator]
"""Takes a node, and returns what evaluates it."""
_ENVIRONMENT = Environment()  # noqa: S701 - renders no page; only its grammar is used
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
    nodes.Slice: "slices are not allowed; use a filter such as split or format",
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
        return self._evaluator(scope)

    def look_up(self, reference: Reference, scope: Mapping[str, Any]) -> Any:
        """Returns the value of a name. Raises ExpressionError."""
        return _look_up(reference.path, scope)

    def compile(self, resolve: Resolver) -> Evaluator:
        """Returns a function that evaluates the expression, for what ``resolve`` looks up in."""
        return _compile_node(self.root, resolve)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return self.compile(_compile_path)


def parse_expression(text: str, offset: int) -> ExpressionTree:
    """Parses an expression at ``offset`` of a text. Raises ExpressionError."""
    try:
        parser = Parser(_ENVIRONMENT, text, state="variable")
        root = parser.parse_expression()
        if not parser.stream.eos:
            rest = parser.stream.current.value
            message = f"'{text.strip()}' is not one expression: '{rest}' is left over"
            raise ExpressionError(message, offset, hint=suggest_operator(text))
        _check_node(root, offset)
    except TemplateSyntaxError as error:
        message = f"'{text.strip()}' is not an expression: {error.message}"
        raise ExpressionError(message, offset, hint=suggest_operator(text)) from None
    except RecursionError:
        raise ExpressionError("an expression is nested too deeply", offset) from None
    return ExpressionTree(root, tuple(_collect_references(root)))


def _check_node(node: nodes.Node, offset: int) -> None:
    if type(node) not in _ALLOWED:
        kind = type(node)
        message = _REFUSED.get(kind, f"{kind.__name__} is not allowed in an expression")
        raise ExpressionError(message, offset, hint=_suggest_for_node(node))
    if isinstance(node, nodes.Filter):
        _check_filter(node, offset)
    if isinstance(node, nodes.Getattr) and _read_path(node) is None:
        raise ExpressionError(
            f"'.{node.attr}' must follow a name such as params or steps.ID", offset
        )
    for child in node.iter_child_nodes():
        _check_node(child, offset)


def _suggest_for_node(node: nodes.Node) -> str:
    is_call = isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name)
    return suggest_for_call(node.node.name) if is_call else ""  # type: ignore[attr-defined]


def _check_filter(node: nodes.Filter, offset: int) -> None:
    if node.dyn_args is not None or node.dyn_kwargs is not None or node.kwargs:
        raise ExpressionError(f"the filter '{node.name}' takes plain arguments only", offset)
    known = FILTERS.get(node.name)
    if known is None:
        raise _report_unknown_filter(node.name, offset)
    low, high = known.arguments
    if not low <= len(node.args) <= high:
        count = str(low) if low == high else f"{low} to {high}"
        raise ExpressionError(
            f"the filter '{node.name}' takes {count} argument(s), not {len(node.args)}", offset
        )

    form = _read_text(node.args[0]) if node.name == "format" else ""
    right = suggest_date_form(form)
    if right:
        message = f"'format' takes a form of strftime, such as '%Y/%m/%d', not '{form}'"
        raise ExpressionError(message, offset, hint=f"write '{right}'")


def _read_text(node: nodes.Node) -> str:
    """Returns the text of a constant; empty for other nodes."""
    is_text = isinstance(node, nodes.Const) and isinstance(node.value, str)
    return str(node.value) if is_text else ""  # type: ignore[attr-defined]


def _report_unknown_filter(name: str, offset: int) -> ExpressionError:
    hint = suggest_filter(name) or suggest_name(name, FILTERS) or f"known: {', '.join(FILTERS)}"
    return ExpressionError(
        f"there is no filter '{name}'", offset, wrong=name, right=tuple(FILTERS), hint=hint
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


def _compile_node(node: Any, resolve: Resolver) -> Evaluator:
    """Returns a function that evaluates the node, which may be called for each of many objects."""
    path = _read_path(node)
    if path is not None:
        return resolve(path)
    kind = type(node)
    if kind in _LEAVES:
        value = check_size(node.value if kind is nodes.Const else node.data)
        return lambda _: value
    compile_node = partial(_compile_node, resolve=resolve)
    if kind in _BINARY:
        left, right = compile_node(node.left), compile_node(node.right)
        return lambda scope: _calculate(kind, left(scope), right(scope))
    return _COMPILE[kind](node, compile_node)


def _compile_path(path: tuple[str, ...]) -> Evaluator:
    if len(path) != 2:  # noqa: PLR2004 - such as params.NAME, which most are
        return lambda scope: _look_up(path, scope)
    head, name = path

    def look_up(scope: Mapping[str, Any]) -> Any:
        try:
            return scope[head][name]
        except (KeyError, TypeError, IndexError):
            return _look_up(path, scope)

    return look_up


def _compile_filter(node: nodes.Filter, compile_node: _Compiler) -> Evaluator:
    value = compile_node(node.node)
    constants = [check_size(each.value) for each in node.args if isinstance(each, nodes.Const)]
    if len(constants) == len(node.args):
        bound = bind_filter(node.name, tuple(constants))
        return lambda scope: bound(value(scope))
    function = FILTERS[node.name].function
    arguments = [compile_node(each) for each in node.args]
    return lambda scope: check_size(
        function(value(scope), *[argument(scope) for argument in arguments])
    )


def _compile_condition(node: nodes.CondExpr, compile_node: _Compiler) -> Evaluator:
    test, first = compile_node(node.test), compile_node(node.expr1)
    second: Evaluator = (lambda _: None) if node.expr2 is None else compile_node(node.expr2)
    return lambda scope: first(scope) if test(scope) else second(scope)


def _compile_comparison(node: nodes.Compare, compile_node: _Compiler) -> Evaluator:
    first = compile_node(node.expr)
    others = [(_COMPARE[each.op], compile_node(each.expr)) for each in node.ops]

    def compare(scope: Any) -> bool:
        left = first(scope)
        for holds, evaluate in others:
            right = evaluate(scope)
            if not holds(left, right):
                return False
            left = right
        return True

    return compare


def _compile_and(node: nodes.And, compile_node: _Compiler) -> Evaluator:
    left, right = compile_node(node.left), compile_node(node.right)
    return lambda scope: left(scope) and right(scope)


def _compile_or(node: nodes.Or, compile_node: _Compiler) -> Evaluator:
    left, right = compile_node(node.left), compile_node(node.right)
    return lambda scope: left(scope) or right(scope)


def _compile_unary(node: nodes.UnaryExpr, compile_node: _Compiler) -> Evaluator:
    function, value = _UNARY[type(node)], compile_node(node.node)
    return lambda scope: function(value(scope))


def _compile_item(node: nodes.Getitem, compile_node: _Compiler) -> Evaluator:
    value, key = compile_node(node.node), compile_node(node.arg)
    return lambda scope: value(scope)[key(scope)]


def _compile_text(node: nodes.Concat, compile_node: _Compiler) -> Evaluator:
    parts = [compile_node(part) for part in node.nodes]
    return lambda scope: check_size("".join([format_value(part(scope)) for part in parts]))


def _compile_list(node: Any, compile_node: _Compiler) -> Evaluator:
    items = [compile_node(item) for item in node.items]
    return lambda scope: [item(scope) for item in items]


def _compile_mapping(node: nodes.Dict, compile_node: _Compiler) -> Evaluator:
    pairs = [(compile_node(pair.key), compile_node(pair.value)) for pair in node.items]
    return lambda scope: {key(scope): value(scope) for key, value in pairs}


_UNARY: dict[type, Callable[[Any], Any]] = {
    nodes.Not: operator.not_,
    nodes.Neg: operator.neg,
    nodes.Pos: operator.pos,
}
_COMPILE: dict[type, Callable[[Any, _Compiler], Evaluator]] = {
    nodes.Filter: _compile_filter,
    nodes.Compare: _compile_comparison,
    nodes.Getitem: _compile_item,
    nodes.And: _compile_and,
    nodes.Or: _compile_or,
    **dict.fromkeys(_UNARY, _compile_unary),
    nodes.Concat: _compile_text,
    nodes.CondExpr: _compile_condition,
    nodes.List: _compile_list,
    nodes.Tuple: _compile_list,
    nodes.Dict: _compile_mapping,
}


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
