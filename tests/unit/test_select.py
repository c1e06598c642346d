"""Globs over keys: every name is a name, '.' and '..' among them, in include and in exclude."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.selection.filters import Selection

PARTS = st.lists(
    st.sampled_from(["", ".", "..", "...", ".a", "a", "b.csv", "a\nb", "(?!", "[x]", "\\", "ü"]),
    min_size=1,
    max_size=5,
)


@given(PARTS)
def test_two_stars_match_every_key(parts: list[str]) -> None:
    key = "/".join(parts)
    assert Selection.of(["**"], []).matches_name(key)
    assert not Selection.of([], ["**"]).matches_name(key)
    assert not Selection.of(["**"], ["**"]).matches_name(key)
    assert Selection.of(["top/**"], []).matches_name(f"top/{key}")
    assert not Selection.of([], ["top/**"]).matches_name(f"top/{key}")


@pytest.mark.parametrize(
    ("pattern", "keys", "others"),
    [
        ("**/*.csv", ["../a.csv", "a/../b.csv", "./a.csv", "a/./b/../c.csv"], ["a/..", "../a.txt"]),
        ("*/x", ["../x", "./x", ".../x"], ["a/../x", "x"]),
        ("?", [".", "a"], ["..", "ab"]),
        ("??", ["..", "ab"], ["."]),
        (".*", [".", "..", ".a"], ["a", "a/.."]),
        ("[!a]*", [".", "..", "b"], ["a", "ab"]),
        ("a/../b", ["a/../b"], ["b", "a/b"]),
        ("{.,..}/x", ["./x", "../x"], ["x", ".../x"]),
        ("[(?!.]*", ["(a", "?", ".a", ".."], ["a"]),
        ("a(?!b", ["a(?!b", "a(x!b"], ["a", "ab"]),
    ],
)
def test_dots_are_names(pattern: str, keys: list[str], others: list[str]) -> None:
    assert [
        key for key in (*keys, *others) if Selection.of([pattern], []).matches_name(key)
    ] == keys
    assert [
        key for key in (*keys, *others) if Selection.of([], [pattern]).matches_name(key)
    ] == others


def test_a_glob_of_thousands_of_alternatives_is_one_glob() -> None:
    selection = Selection.of(["part-{1..2500}.csv"], ["part-{7,8}.csv"])
    assert [selection.matches_name(f"part-{number}.csv") for number in (1, 2500, 7, 2501)] == [
        True,
        True,
        False,
        False,
    ]
