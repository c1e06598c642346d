"""Ids of steps inside groups, and labels of items."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.step_ids import StepId, file_name, inner_id, item_step_id, label_items, local_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("fetch", ("fetch", "", "")),
        ("partners.fetch", ("partners", "", "fetch")),
        ("partners[north]", ("partners", "north", "")),
        ("partners[north].fetch", ("partners", "north", "fetch")),
        ("partners[a.b@c=d+1-2].fetch", ("partners", "a.b@c=d+1-2", "fetch")),
        ("partners[#12].fetch", ("partners", "#12", "fetch")),
    ],
)
def test_an_id_is_parsed_and_written(text: str, parts: tuple[str, str, str]) -> None:
    parsed = StepId.parse(text)
    assert (parsed.step, parsed.item, parsed.inner) == parts
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text", ["", "1a", "a.", "a[]", "a[b", "a[b]c", "a.b.c", "a[b].c.d", "a\n", "a[b].c\n", "[b].c"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a step"):
        StepId.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "covers", "overlaps"),
    [
        ("g", "g[a].x", True, True),
        ("g[a]", "g[a].x", True, True),
        ("g.x", "g[a].x", True, True),
        ("g[a].x", "g[a].x", True, True),
        ("g[b]", "g[a].x", False, False),
        ("g.y", "g[a].x", False, False),
        ("h", "g[a].x", False, False),
        ("g[a].x", "g", False, True),
        ("g[a]", "g.x", False, True),
    ],
)
def test_an_id_covers_its_parts(one: str, other: str, covers: bool, overlaps: bool) -> None:
    first, second = StepId.parse(one), StepId.parse(other)
    assert (first.covers(second), first.overlaps(second)) == (covers, overlaps)
    assert second.overlaps(first) == overlaps


@pytest.mark.parametrize(
    ("items", "labels"),
    [
        ([], []),
        (["north", "south"], ["north", "south"]),
        ([{"name": "north"}, {"id": 7}, {"key": "a.csv"}], ["north", "7", "a.csv"]),
        ([2024, 2025], ["2024", "2025"]),
        (["a", "a", "b"], ["#0", "#1", "b"]),
        ([{"name": "x", "role": 1}, {"role": 2}], ["x", "#1"]),
        ([1, "1"], ["#0", "#1"]),
        ([True, None, 1.5, [1], {}], ["#0", "#1", "#2", "#3", "#4"]),
        (["../../etc", "a/b", "a b", "", ".", "-x", "a]b", "a\nb", "#1", "é"], None),
        (["x" * 64, "y" * 65], ["x" * 64, "#1"]),
        ([{"name": {"nested": 1}}, {"name": "${{ x }}"}], ["#0", "#1"]),
    ],
)
def test_labels_are_names_where_these_are_unique_and_safe(items: list[Any], labels: Any) -> None:
    positions = [f"#{index}" for index in range(len(items))]
    assert label_items(items) == (positions if labels is None else labels)


def test_names_of_steps_and_files() -> None:
    step = inner_id("partners", "fetch")
    assert step == "partners.fetch"
    assert item_step_id(step, "a.b") == "partners[a.b].fetch"
    assert [local_name(each) for each in ("x", step, "partners[a.b].fetch")] == [
        "x",
        "fetch",
        "fetch",
    ]
    ids = ["x", step, "partners[fetch].x", "partners[a.b].fetch", "partners[#3].fetch"]
    names = [file_name(each) for each in ids]
    assert names == [
        "x",
        "partners.fetch",
        "partners.x.fetch",
        "partners.fetch.a.b",
        "partners.fetch.-3",
    ]
