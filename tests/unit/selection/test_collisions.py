"""Equal names are found whatever their number and order, in bounded memory."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.selection import collisions
from rolerunner.selection.collisions import ClaimedNames, Collision, find_collision

NAMES = st.lists(
    st.tuples(st.text("ab", max_size=4), st.one_of(st.none(), st.integers(0, 3))), max_size=40
)


def by_definition(names: list[tuple[str, Any]]) -> bool:
    return any(
        one == other and (first, second) != (None, None)
        for n, (one, first) in enumerate(names)
        for other, second in names[:n]
    )


@given(NAMES, st.sampled_from([1, 3, 2048]))
def test_equal_names_are_found_in_memory_and_on_disk(
    names: list[tuple[str, Any]], held: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collisions, "_HELD", held)
        found = find_collision(lambda: iter(names))
    assert (found is not None) == by_definition(names)
    if found is not None:
        assert {(found.name, found.one), (found.name, found.other)} <= set(names)


def test_names_with_equal_hashes_are_no_collision() -> None:
    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 7

    assert find_collision(lambda: ((Name(number), number) for number in range(100))) is None
    assert find_collision(
        lambda: ((Name(number % 99), number) for number in range(100))
    ) == Collision("0", 0, 99)


def test_many_names_take_little_memory() -> None:
    def names(count: int) -> Any:
        yield from ((f"part-{number:09}.parquet", number) for number in range(count))
        yield "part-000000123.parquet", "again"

    def measure_peak() -> int:
        tracemalloc.start()
        try:
            assert find_collision(lambda: names(300_000)) == Collision(
                "part-000000123.parquet", 123, "again"
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # a thread that an earlier test abandoned may use memory meanwhile
    assert any(measure_peak() < 8 << 20 for _ in range(3))


def test_a_name_has_the_owner_that_claimed_it_first() -> None:
    with closing(ClaimedNames()) as names:
        assert names.claim("one", [("a", "x"), ("b", "y")]) is None
        assert names.claim("one", [("a", "x of a later try"), ("b", "y")]) is None
        assert names.claim("two", [("b", "y"), ("c", "z")]) is None
        assert names.claim("two", [("d", "z"), ("a", "z")]) == Collision("a", "x", "z")
        assert names.claim("three", ((f"\udcff{number}", "w") for number in range(5000))) is None
        assert names.claim("four", [("\udcff4999", "v\udcff")]) == Collision(
            "\udcff4999", "w", "v\udcff"
        )


def test_threads_claim_names_side_by_side() -> None:
    with closing(ClaimedNames()) as names, ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda n: names.claim(str(n), ((f"{k}", f"{n}") for k in range(3000))), range(4)
            )
        )
    assert sum(each is None for each in found) == 1
