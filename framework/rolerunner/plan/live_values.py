"""Adds up what the items of a step would work on now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def sum_items(items: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the sums of the numbers, by name; ``items`` has the values of each item.

    Items whose work is not known are one reason under ``unknown``.
    """
    totals: dict[str, Any] = {}
    reasons: list[str] = []
    for item, values in items.items():
        for name, value in values.items():
            if name == "unknown":
                reasons.append(f"{item}: {value}")
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                totals[name] = totals.get(name, 0) + value
    if reasons:
        others = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        totals["unknown"] = reasons[0] + others
    return totals
