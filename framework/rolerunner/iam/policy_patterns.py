"""Matches wildcard patterns of policies: which pattern covers what, which statement allows what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Generic, Optional, TypeVar

from rolerunner.model import Condition, Permission

T = TypeVar("T")


class PatternIndex(Generic[T]):
    """Patterns keyed by their text before the first wildcard: thousands need no full scan."""

    def __init__(self, patterns: Iterable[tuple[str, T]]) -> None:
        self._found: dict[str, list[tuple[str, T]]] = {}
        for pattern, value in patterns:
            self._found.setdefault(re.split(r"[*?]", pattern, maxsplit=1)[0], []).append(
                (pattern, value)
            )

    def iter_covering(self, text: str) -> Iterator[T]:
        """Yields the values of the patterns that cover a text."""
        for length in range(len(text) + 1):
            for pattern, value in self._found.get(text[:length], ()):
                if is_covering(pattern, text):
                    yield value


def is_condition_implied(wanted: Condition, given: Sequence[Condition]) -> bool:
    """Returns True if everything that meets the conditions ``given`` meets ``wanted`` too."""
    operator, key, values = wanted
    for other_operator, other_key, others in given:
        likes = {operator, other_operator} <= {"StringLike", "StringEquals"}
        if other_key == key and (other_operator == operator or likes):
            return all(
                any(
                    value == other or ("Like" in operator and is_covering(value, other))
                    for value in values
                )
                for other in others
            )
    return False


@lru_cache(maxsize=4096)
def _compile_pattern(text: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "[^*]"}  # a * in the other pattern stands for more than one character
    return re.compile("".join(parts.get(each, re.escape(each)) for each in text) + r"\Z", re.DOTALL)


def is_covering(pattern: str, text: str) -> bool:
    """Returns True if the pattern matches everything that ``text``, a text or pattern, matches."""
    return pattern == text or (
        ("*" in pattern or "?" in pattern) and bool(_compile_pattern(pattern).match(text))
    )


def match_statement(statement: dict[str, Any], permission: Permission) -> Optional[tuple[str, ...]]:
    """Returns the statement's conditions that the permission leaves open; None without a match.

    An Allow holds if these conditions are met. A Deny that matches holds for certain if there are
    none, else perhaps.
    """
    if not (
        _matches_element(statement, "Action", permission.action.lower(), lower=True)
        and _matches_element(statement, "Resource", permission.resource)
    ):
        return None
    unmet = []
    for operator, conditions in (statement.get("Condition") or {}).items():
        for key, values in conditions.items():
            wanted: Condition = (
                operator,
                key,
                tuple(map(str, values if isinstance(values, list) else [values])),
            )
            if not is_condition_implied(wanted, permission.condition):
                unmet.append(f"{operator} {key}: {', '.join(wanted[2])}")
    return tuple(unmet)


def _matches_element(
    statement: dict[str, Any], element: str, text: str, *, lower: bool = False
) -> bool:
    value = statement.get(element, statement.get(f"Not{element}", []))
    patterns = [value] if isinstance(value, str) else value
    found = any(is_covering(each.lower() if lower else each, text) for each in patterns)
    return found if element in statement else not found
