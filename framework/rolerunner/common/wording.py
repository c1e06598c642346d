"""Numbers with their nouns, as messages show them."""

from __future__ import annotations


def format_count(number: float, noun: str, plural: str = "") -> str:
    """``1 step``, ``2 steps``, ``1,000 objects``; ``plural`` for a noun that does not take an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
