"""Splitting key ranges: every key is in exactly one range, for all keys and strategies."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.keyspace import (
    KeyRange,
    OrderedRanges,
    split_by_guessing,
    split_by_probing,
)

KEYS = st.text(st.sampled_from("09afzAFZ/-_é"), min_size=1, max_size=6)


class Keys:
    """Sorted keys below ``in/`` that counts the probes."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(keys)
        self.probes = 0

    def find_next_key(self, after: str) -> str | None:
        self.probes += 1
        place = bisect_right(self.keys, after)
        return self.keys[place] if place < len(self.keys) else None


def count_keys(keys: list[str], key_range: KeyRange) -> int:
    return sum(key > key_range.after and not key_range.is_past_end(key) for key in keys)


def assert_consecutive(parts: list[KeyRange], whole: KeyRange) -> None:
    assert parts[0].after == whole.after
    assert parts[-1].through == whole.through
    for one, other in zip(parts, parts[1:]):
        assert one.through == other.after
        assert one.after < other.after


@pytest.mark.parametrize(
    ("key", "through", "is_past_end", "reaches_end"),
    [
        ("b", None, False, False),
        ("a", "b", False, False),
        ("b", "b", False, True),
        ("c", "b", True, True),
    ],
)
def test_a_range_includes_its_last_key(
    key: str, through: str | None, is_past_end: bool, reaches_end: bool
) -> None:
    key_range = KeyRange("", through)
    assert key_range.is_past_end(key) is is_past_end
    assert key_range.reaches_end(key) is reaches_end


@pytest.mark.parametrize(
    ("key", "through", "is_end"),
    [
        ("part-1999.csv", "part-2", True),
        ("part-1999", "part-2", True),
        ("part-1998.csv", "part-2", False),
        ("part-0999.csv", "part-2", False),
        ("part-1.csv", "part-2", False),
        ("part-1", "part-2", False),
        ("part-1999", None, False),
        ("part-1999", "", False),
        ("x-az/b", "x-b", True),
        ("x-aff", "x-b", True),
        ("x-afe", "x-b", False),
        ("y-1999", "part-2", False),
        ("part-", "part-2", False),
    ],
)
def test_a_key_shows_that_it_is_probably_the_last(
    key: str, through: str | None, is_end: bool
) -> None:
    assert KeyRange("", through).is_probably_end(key) is is_end


def test_short_ranges_have_a_known_number_of_pages() -> None:
    page = ("part-0001000", "part-0001999")
    parts = split_by_guessing(KeyRange(), "part-", page, limit=64, is_distant=True)
    assert [(part.after, part.pages) for part in parts[:4]] == [
        ("", None),
        ("part-0002", 3),
        ("part-0005", 3),
        ("part-0008", 3),
    ]
    assert {part.pages for part in parts[4:]} == {None}


def test_a_range_is_split_at_points() -> None:
    assert KeyRange("a", "z").split_at(["f", "k"]) == [
        KeyRange("a", "f"),
        KeyRange("f", "k"),
        KeyRange("k", "z"),
    ]
    assert KeyRange("a").split_at([]) == [KeyRange("a")]


@given(KEYS, KEYS, st.none() | KEYS, st.integers(1, 70), st.booleans())
def test_guesses_split_what_follows_the_page(
    one: str, other: str, through: str | None, limit: int, is_distant: bool
) -> None:
    first, last = sorted([one, other])
    if through is not None and through <= last:
        through = None
    whole = KeyRange("", through)
    parts = split_by_guessing(whole, "", (first, last), limit=limit, is_distant=is_distant)
    assert_consecutive(parts, whole)
    assert len(parts) <= limit + 1
    assert all(part.after > last for part in parts[1:])


@pytest.mark.parametrize(("is_distant", "expected"), [(False, 0), (True, 2)])
def test_guesses_near_the_differing_place_need_distance(is_distant: bool, expected: int) -> None:
    page = ("part-0000", "part-0999")
    parts = split_by_guessing(KeyRange(), "part-", page, limit=64, is_distant=is_distant)
    points = [part.after for part in parts[1:]]
    assert len(points) >= expected
    assert bool(points) is is_distant


@given(st.lists(KEYS, min_size=2, max_size=60, unique=True), st.integers(1, 9), st.data())
def test_probes_split_what_follows_the_listed_keys(
    names: list[str], max_ranges: int, data: st.DataObject
) -> None:
    keys = Keys([f"in/{name}" for name in names])
    count = data.draw(st.integers(1, len(keys.keys) - 1))
    whole = KeyRange(keys.keys[count - 1])
    parts = split_by_probing(whole, "in/", keys.keys[:count], max_ranges, keys.find_next_key)
    assert_consecutive(parts, whole)
    assert len(parts) <= max_ranges
    assert sum(count_keys(keys.keys, part) for part in parts) == len(keys.keys) - count


def test_probes_find_ranges_of_many_keys_with_few_requests() -> None:
    keys = Keys([f"in/{number:09d}.csv" for number in range(1_000_000)])
    listed = keys.keys[:20_000]
    parts = split_by_probing(KeyRange(listed[-1]), "in/", listed, 16, keys.find_next_key)
    assert keys.probes <= 20
    assert len(parts) == 16
    sizes = [
        bisect_right(keys.keys, part.through or "~") - bisect_right(keys.keys, part.after)
        for part in parts
    ]
    assert sum(sizes) == 980_000
    assert sum(size > 20_000 for size in sizes) >= 8


@dataclass(eq=False)
class State:
    name: str
    is_done: bool = False


def test_ranges_stay_in_order_when_one_is_split() -> None:
    first = State("a")
    ranges = OrderedRanges(first)
    second, third = State("b"), State("d")
    ranges.insert_after(first, [second, third])
    ranges.insert_after(second, [State("c")])
    assert [each.name for each in ranges] == ["a", "b", "c", "d"]
    second.is_done = True
    assert [each.name for each in ranges.list_pending(2)] == ["a", "c"]
    assert ranges.count_pending() == 3
    ranges.remove(third)
    assert ranges.pop_first() is first
    assert ranges.first is second
    assert len(ranges) == 2
