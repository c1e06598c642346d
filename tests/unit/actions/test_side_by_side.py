"""Two sorted sides are walked together; one out of order is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.actions.side_by_side import merge_sides
from rolerunner.errors import ServiceFailed

SIDE = st.dictionaries(st.text("aé\U00010000/-", max_size=3), st.integers(), max_size=8)


@given(ours=SIDE, theirs=SIDE)
def test_each_name_comes_once_with_both_sides(ours: dict[str, int], theirs: dict[str, int]) -> None:
    merged = list(merge_sides(sorted(ours.items()), sorted(theirs.items())))
    assert merged == [(name, ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs})]


@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4)))
def test_code_points_are_in_the_order_of_utf_8(names: list[str]) -> None:
    assert sorted(names) == sorted(names, key=str.encode)


@pytest.mark.parametrize(
    ("names", "message"), [("ba", "'a' follows 'b'"), ("aa", "'a' is there twice")]
)
def test_a_side_out_of_order_is_refused(names: str, message: str) -> None:
    with pytest.raises(ServiceFailed, match=message):
        list(merge_sides([(name, 1) for name in names], []))
