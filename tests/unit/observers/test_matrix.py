"""The totals of a group's steps over its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rolerunner.observers.matrix import add_up_columns, count_statuses, describe_statuses


@dataclass
class Step:
    id: str
    status: str = "succeeded"
    seconds: float = 1.0
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Item:
    status: str
    steps: tuple[Step, ...]


ITEMS = (
    Item(
        "succeeded",
        (Step("g[a].fetch", outputs={"count": 2, "bytes": 10}), Step("g[a].sign", seconds=0.5)),
    ),
    Item("failed", (Step("g[b].fetch", "failed"), Step("g[b].sign", "not_run", 0.0))),
    Item(
        "succeeded",
        (Step("g[c].fetch", outputs={"count": 0, "bytes": None}), Step("g[c].sign", seconds=0.25)),
    ),
)


def test_each_step_has_its_totals() -> None:
    fetch, sign = add_up_columns(ITEMS)
    assert (fetch.name, fetch.count, fetch.bytes, fetch.seconds) == ("fetch", 2, 10, 3.0)
    assert fetch.statuses == Counter(succeeded=2, failed=1)
    assert (sign.name, sign.count, sign.bytes, sign.seconds) == ("sign", None, None, 0.75)
    assert sign.statuses == Counter(succeeded=2, not_run=1)


def test_a_group_without_items_has_no_columns() -> None:
    assert add_up_columns(()) == []
    assert describe_statuses(count_statuses(())) == ""


def test_statuses_in_words() -> None:
    assert describe_statuses(count_statuses(ITEMS)) == "2 succeeded, 1 failed"
    assert describe_statuses({"not_run": 1200}) == "1,200 not run"
