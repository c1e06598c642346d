"""Policies as JSON text: for people, and as short as possible."""

from __future__ import annotations

import json
from typing import Any

MAX_LINE_WIDTH = 140
"""Characters of a line of a printed policy, where it can be broken."""


def format_json(value: Any, indent: int = 0) -> str:
    """Returns JSON for people: a value that fits into a line is on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= MAX_LINE_WIDTH or not isinstance(value, (dict, list)):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {format_json(each, indent + 2)}"
            for key, each in value.items()
        ]
    else:
        parts = [format_json(each, indent + 2) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{' ' * indent}{closing}"


def compact_json(policy: dict[str, Any]) -> str:
    """Returns a policy as JSON in as few characters as possible."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
