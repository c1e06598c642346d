"""The names that expressions can read, and the mistakes in their use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.spec.object_templates import OBJECT, OBJECT_SAMPLE
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rolerunner.spec.grammar import Reference

RUN_NAMES = ("id", "name", "date", "time", "error")
"""The names under ``run``."""
CLOCK_NAMES = ("today", "now")
"""The date and time of the run in UTC, which every expression can read."""
ITEM_NAMES = ("key", "uri", "size", "etag", "modified")
"""The names under ``item`` if for_each goes through listed objects."""


def find_scope_mistake(
    reference: Reference, scopes: tuple[str, ...], params: Collection[str]
) -> tuple[str, str]:
    """Returns the mistake in a name and a hint; two empty texts if it is available.

    ``scopes`` are the first parts that are available, besides those of the clock.
    """
    head, *parts = reference.path
    name = parts[0] if parts else ""
    if head in CLOCK_NAMES:
        return _find_clock_mistake(head, name)
    if head not in scopes:
        return _find_unavailable(head, scopes, params)
    if head != "item" and not name:
        return f"'{head}' needs a name after it, as in {head}.NAME", ""
    if head == "params" and name not in params:
        return f"there is no param '{name}'", suggest_name(name, params)
    if head == "run" and name not in RUN_NAMES:
        return f"there is no 'run.{name}'", _suggest_or_list(name, RUN_NAMES)
    if head == OBJECT and name not in OBJECT_SAMPLE:
        return f"there is no 'object.{name}'", _suggest_or_list(name, OBJECT_SAMPLE)
    return "", ""


def _find_clock_mistake(head: str, name: str) -> tuple[str, str]:
    if not name:
        return "", ""
    return f"'{head}' has no parts", f"use a filter, as in ${{{{ {head} | format('%Y') }}}}"


def _find_unavailable(
    head: str, scopes: tuple[str, ...], params: Collection[str]
) -> tuple[str, str]:
    if head == "item":
        return "'item' is available only in a step with for_each", ""
    if head == OBJECT:
        return "'object' is available only where an action names objects, in 'name'", ""
    available = (*scopes, *CLOCK_NAMES)
    from rolerunner.spec.foreign_expressions import suggest_foreign_name  # noqa: PLC0415 - a right spec has no use for it

    hint = suggest_foreign_name(head, params if "params" in scopes else ())
    return f"'{head}' is not available here", hint or _suggest_or_list(head, available)


def _suggest_or_list(name: str, known: Iterable[str]) -> str:
    """Returns the name that was probably meant, or all that are known."""
    return suggest_name(name, known) or f"known: {', '.join(known)}"
