"""Finds and parses ``${{ ... }}`` when a spec is loaded, and evaluates it later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.json_values import safe_text
from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.sealing import has_secret_value
from rolerunner.redaction.secrets import register_secret
from rolerunner.spec.filters import ExpressionError, check_size, format_value

if TYPE_CHECKING:
    from rolerunner.spec.grammar import Evaluator, ExpressionTree, Reference, Resolver

MAX_EXPRESSION = 2_000
"""Maximum number of characters of an expression."""
_OPEN, _CLOSE = "${{", "}}"
_DELIMITER = re.compile(r"""["']|\}\}""")


@dataclass(frozen=True)
class Expression:
    """A ``${{ ... }}``; ``offset`` is the position of its text in the template."""

    text: str
    offset: int
    references: tuple[Reference, ...]
    _tree: ExpressionTree = field(repr=False, compare=False)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Returns the value with its native type. Raises ExpressionError."""
        value = self.evaluate_plain(scope)
        return self._as_secret(value) if self._reads_secret(scope) else value

    def evaluate_plain(self, scope: Mapping[str, Any]) -> Any:
        """Returns the value of an expression that reads no secret. Raises ExpressionError."""
        try:
            return self._tree.evaluate(scope)
        except ExpressionError:
            raise
        except Exception as error:  # operators and filters may raise anything
            reason = (
                "it is nested too deeply"
                if isinstance(error, RecursionError)
                else safe_text(error) or type(error).__name__
            )
            raise ExpressionError(f"'{self.text}' cannot be evaluated: {reason}") from error

    def compile(self, resolve: Resolver) -> Evaluator:
        """Returns a function that evaluates the expression; it raises what its operators raise."""
        return self._tree.compile(resolve)

    def look_up(self, reference: Reference, scope: Mapping[str, Any]) -> Any:
        """Returns the value of a name that the expression reads. Raises ExpressionError."""
        return self._tree.look_up(reference, scope)

    def _reads_secret(self, scope: Mapping[str, Any]) -> bool:
        """Returns True if a value that it reads is or contains a secret."""
        return any(has_secret_value(_look_up(reference, scope)) for reference in self.references)

    def _as_secret(self, value: Any) -> Any:
        """Marks a value derived from a secret as one, except text that the expression shows."""
        if isinstance(value, str):
            return (
                value
                if f"'{value}'" in self.text or f'"{value}"' in self.text
                else register_secret(value)
            )
        if isinstance(value, (list, tuple)):
            return [self._as_secret(each) for each in value]
        return (
            {key: self._as_secret(each) for key, each in value.items()}
            if isinstance(value, dict)
            else value
        )


def _look_up(reference: Reference, scope: Mapping[str, Any]) -> Any:
    value: Any = scope
    for name in reference.path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


@dataclass(frozen=True)
class Template:
    """A text with expressions; the value of a single expression keeps its type."""

    text: str
    parts: tuple[Any, ...]
    """Texts and expressions, in order."""

    def __str__(self) -> str:
        return self.text

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions, in order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    @property
    def references(self) -> tuple[Reference, ...]:
        """The names that all expressions read."""
        return tuple(
            reference for expression in self.expressions for reference in expression.references
        )

    @property
    def whole(self) -> Optional[Expression]:
        """The expression, if the text is a single one and nothing else."""
        return (
            self.parts[0]
            if len(self.parts) == 1 and isinstance(self.parts[0], Expression)
            else None
        )

    @property
    def name(self) -> Optional[Reference]:
        """The name, if the text is an expression that only reads a name."""
        whole = self.whole
        return (
            whole.references[0]
            if whole is not None
            and len(whole.references) == 1
            and whole.text == str(whole.references[0])
            else None
        )

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Returns the value in ``scope``. Raises ExpressionError."""
        if self.whole is not None:
            return self.whole.evaluate(scope)
        texts = [
            part.evaluate(scope) if isinstance(part, Expression) else part for part in self.parts
        ]
        text = check_size("".join(format_value(text) for text in texts))
        return register_secret(text) if any(map(has_secret_value, texts)) else text


def replace_known_parts(template: Template, scope: Mapping[str, Any]) -> Template:
    """Returns the template with the values of the expressions that ``scope`` suffices for.

    Expressions that read a secret stay, and so does one that is the whole text.
    """
    parts = template.parts
    if template.whole is None:
        parts = tuple(_replace_known(part, scope) for part in parts)
    texts = [f"${{{{ {each.text} }}}}" if isinstance(each, Expression) else each for each in parts]
    return template if parts == template.parts else Template("".join(texts), parts)


def _replace_known(part: Any, scope: Mapping[str, Any]) -> Any:
    if not isinstance(part, Expression):
        return part
    try:
        value = part.evaluate(scope)
        return part if has_secret_value(value) else format_value(value)
    except ExpressionError:
        return part


def is_template(text: str) -> bool:
    """Returns True if the text contains an expression."""
    return _OPEN in text


def parse_template(text: str) -> Template:
    """Parses a text with expressions. Raises ExpressionError with the offset in the text."""
    template, errors = scan_template(text)
    if errors:
        raise errors[0]
    return template


def scan_template(text: str) -> tuple[Template, list[ExpressionError]]:
    """Parses a text with expressions; returns the valid ones, and an error for each other."""
    parts: list[Any] = []
    errors: list[ExpressionError] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        parts += [text[position:start]] if start > position else []
        try:
            end = _find_end(text, start + len(_OPEN))
        except ExpressionError as error:
            return Template(text, tuple(parts)), [*errors, error]
        try:
            parts.append(_parse_expression(text[start + len(_OPEN) : end], start + len(_OPEN)))
        except ExpressionError as error:
            errors.append(error)
        position = end + len(_CLOSE)
    parts += [text[position:]] if position < len(text) else []
    return Template(text, tuple(parts)), errors


def _find_end(text: str, position: int) -> int:
    """Returns the position of the ``}}`` that closes an expression, skipping quotes."""
    start = position
    while True:
        found = _DELIMITER.search(text, position)
        if not found:
            raise ExpressionError("'${{' is not closed by '}}'", start - len(_OPEN))
        if found.group() == _CLOSE:
            return found.start()
        quote_end = text.find(found.group(), found.end())
        if quote_end == -1:
            raise ExpressionError(f"a {found.group()} is not closed inside '${{{{'", found.start())
        position = quote_end + 1


def _parse_expression(text: str, offset: int) -> Expression:
    start = offset + len(text) - len(text.lstrip())
    if not text.strip():
        raise ExpressionError("'${{ }}' is empty", start)
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"an expression is longer than {MAX_EXPRESSION:,} characters", start)
    from rolerunner.spec import grammar  # noqa: PLC0415 - Jinja2 takes 20 ms, and many specs have no expression

    tree = grammar.parse_expression(text, start)
    return Expression(text.strip(), start, tree.references, tree)
