"""A function that a step calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def count_lines(context: Any, folder: str) -> dict[str, Any]:
    """Counts the lines of the text files below a folder."""
    lines = sum(len(path.read_text().splitlines()) for path in Path(folder).rglob("*.txt"))
    context.log("counted", lines=lines)
    return {"lines": lines}
