from __future__ import annotations

from typing import Any

from rolerunner.plan.live_values import sum_items


def test_numbers_are_added_up_and_unknown_items_are_one_reason() -> None:
    found: dict[str, dict[str, Any]] = {
        "north": {"count": 1, "bytes": 3, "refused": ["no"], "ready": True},
        "south": {"count": 2, "bytes": 4},
    }
    assert sum_items(found) == {"count": 3, "bytes": 7}
    unknown: dict[str, dict[str, Any]] = {
        "east": {"unknown": "it is closed"},
        "west": {"unknown": "it is late"},
    }
    assert sum_items({**found, **unknown})["unknown"] == "east: it is closed, and 1 more"
    assert sum_items({}) == {}
