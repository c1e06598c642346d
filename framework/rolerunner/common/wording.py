"""Numbers with their nouns and columns of text, as messages show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.common.patterns import compile_on_use

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTROLS = compile_on_use("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def escape_controls(text: str) -> str:
    """Returns a text whose control characters are visible, except tabs and line breaks.

    A key may hold sequences that would move a terminal's cursor or reverse the text after them.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def format_count(number: float, noun: str, plural: str = "") -> str:
    """``1 step``, ``2 steps``, ``1,000 objects``; ``plural`` for a noun that does not take an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a line for each row, with every column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]
