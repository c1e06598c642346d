"""Compares single values with those expected, and describes how they differ."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Mismatch:
    """A difference between the expected and the observed run."""

    what: str
    """Path below ``expect``, such as steps.fetch.status."""
    expected: str
    seen: str
    detail: str = ""
    """Further explanation."""


def matches_pattern(pattern: str, text: str) -> bool:
    """Returns True if the text contains the pattern; ``*`` matches anything."""
    return re.search(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def format_value(value: Any) -> str:
    """Returns a value as JSON, truncated to 500 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


_LONGEST = 500


def compare_values(what: str, expected: Any, actual: Any, detail: str = "") -> Iterator[Mismatch]:
    """Yields a mismatch unless both values are the same in JSON."""
    if not _are_same(expected, actual):
        yield Mismatch(what, format_value(expected), format_value(actual), detail)


def _are_same(one: Any, other: Any) -> bool:
    """Returns True for equal values; a boolean, also inside of a value, equals no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_same, one, other))
    return bool(one == other)


def find_pattern(what: str, pattern: Optional[str], text: str) -> Iterator[Mismatch]:
    """Yields a mismatch if there is a pattern that the text does not contain."""
    if pattern is not None and not matches_pattern(pattern, text):
        yield Mismatch(
            what, f"a text with {format_value(pattern)}", format_value(text) if text else "no text"
        )
