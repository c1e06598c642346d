"""Finds text that looks like a template of another tool, such as ``{{ x }}`` or ``${x}``.

Nothing replaces such text, so a step would write an object named ``{{ ds }}``. ``{{ x }}`` is
always a mistake. ``${x}`` is one in every field, but in the user's own content, such as a script,
only if an expression could read the name. ``$(x)``, ``%(x)s``, ``<x>`` and ``{x}`` are mistakes
if an expression could read the name, and never in content; so is ``$params.x``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rolerunner.common.patterns import compile_on_use
from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_STRONG = compile_on_use(
    r"(?<![\{$])\{\{(?P<jinja>[^{}]*)\}\}(?!\})|\$\{\s*(?P<shell>[A-Za-z_][\w.]*)\s*(?::?[-=?+][^{}]*)?\}"
)
_NAME = r"[A-Za-z_][\w.-]*"
_WEAK = compile_on_use(
    rf"\$\(\s*(?P<a>{_NAME})\s*\)|%\((?P<b>{_NAME})\)s|<(?P<c>{_NAME})>|(?<![\{{$])\{{(?P<d>{_NAME})\}}(?!\}})"
    rf"|\$(?P<e>(?:params|run|steps|item)\.{_NAME})"
)

_PLAIN = compile_on_use(rf"\{{\{{\s*{_NAME}\s*\}}\}}\Z")
_FIRST_NAME = compile_on_use(_NAME)
_MARKS = ("{", "$", "%(", "<")


@dataclass(frozen=True)
class ForeignTemplate:
    """A template of another tool at ``offset``."""

    text: str
    offset: int
    right: str
    """The expression that is probably intended."""

    @property
    def message(self) -> str:
        """The message for the mistake."""
        return f"'{self.text}' is not replaced: it is a template of another tool"

    @property
    def hint(self) -> str:
        """The expression to write, or how to write the text literally."""
        quote = '"' if "'" in self.text else "'"
        return f"write {self.right}, or ${{{{ {quote}{self.text}{quote} }}}} for the text itself"


def find_foreign_templates(
    text: str, scopes: Collection[str], params: Collection[str], *, content: bool
) -> Iterator[ForeignTemplate]:
    """Yields the templates of other tools in a text without expressions.

    ``scopes`` are the first names that an expression can read, ``params`` the spec's params;
    ``content`` is True for the user's own content.
    """
    if not any(mark in text for mark in _MARKS):
        return
    for found in _STRONG.finditer(text):
        name = _first_name(found)
        if not content or _PLAIN.match(found.group()) or _is_readable(name, scopes, params):
            yield ForeignTemplate(
                found.group(), found.start(), _suggest_expression(name, scopes, params)
            )
    for found in () if content else _WEAK.finditer(text):
        name = _first_name(found)
        if _is_readable(name, scopes, params):
            yield ForeignTemplate(
                found.group(), found.start(), _suggest_expression(name, scopes, params)
            )


def _first_name(found: re.Match[str]) -> str:
    inner = next((group for group in found.groups() if group is not None), "")
    name = _FIRST_NAME.search(inner)
    return name.group().rstrip(".-") if name else ""


def _is_readable(name: str, scopes: Collection[str], params: Collection[str]) -> bool:
    head, _, rest = name.partition(".")
    return name in params or (head in scopes and (bool(rest) or head == "item"))


def _suggest_expression(name: str, scopes: Collection[str], params: Collection[str]) -> str:
    if _is_readable(name, scopes, params) and name not in params:
        return f"${{{{ {name} }}}}"
    near = (
        name
        if name in params
        else suggest_name(name.rpartition(".")[2], params).partition("'")[2].rpartition("'")[0]
    )
    return f"${{{{ params.{near or 'NAME'} }}}}"
