"""Globs over keys: every name is a name, '.' and '..' among them, in include and in exclude."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.selection.filters import (
    MAX_PATTERNS,
    Rule,
    Selection,
    check_globs,
    find_imbalance,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
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


@pytest.mark.parametrize(
    ("include", "exclude", "meant", "not_meant"),
    [
        (["*.csv"], [], ["a.csv", ".csv"], ["d/a.csv", "a.CSV"]),
        (["**/*.csv"], [], ["a.csv", "d/e/a.csv"], ["a.txt"]),
        (["d/**"], [], ["d/a", "d/e/f"], ["a", "dd/a"]),
        ([], ["**/_*"], ["a", "d/a_"], ["_a", "d/_a"]),
        (["{a,b}?.txt"], ["ab.txt"], ["a1.txt", "b2.txt"], ["ab.txt", "c1.txt"]),
        (["[!a]*"], [], ["b", "c.d"], ["a", "ab"]),
    ],
)
def test_globs(
    include: list[str], exclude: list[str], meant: list[str], not_meant: list[str]
) -> None:
    selection = Selection.of(include, exclude)
    assert [selection.matches_name(name) for name in (*meant, *not_meant)] == [True] * len(
        meant
    ) + [False] * len(not_meant)


@given(TEXT, st.integers(0, 10), st.text("0123456789", max_size=3))
def test_an_empty_selection_means_all_and_bounds_hold(name: str, size: int, modified: str) -> None:
    assert Selection()(name, size, modified)
    assert Selection(min_size=3, max_size=7)(name, size, modified) == (3 <= size <= 7)
    assert Selection(before="5", after="2")(name, size, modified) == ("2" <= modified <= "5")


@pytest.mark.parametrize("glob", ["[ab.csv", "a]", "{a,b", "a}", "a{b,{c}", "**/[!x", "[a/b]"])
def test_an_unbalanced_glob_is_an_error(glob: str) -> None:
    with pytest.raises(ValueError, match="has no counterpart; write"):
        check_globs([glob])


@pytest.mark.parametrize(
    "glob",
    [
        "[ab].csv",
        "[]a]",
        "[!]a]",
        r"\[ab",
        r"a\}",
        "{a,[}]}",
        "[[:alpha:]]*",
        "{a,b{c,d}}",
        "[{]",
        "",
        "**",
    ],
)
def test_a_balanced_glob_is_none(glob: str) -> None:
    assert find_imbalance(glob) == ""
    check_globs([glob])


def test_thousands_of_patterns_work_and_more_are_refused() -> None:
    means = Selection.of(["part-{0001..2000}.csv"], ["part-{1990..2100}.csv"])
    assert [
        name
        for name in ("part-0001.csv", "part-1989.csv", "part-1990.csv", "part-2001.csv")
        if means.matches_name(name)
    ] == [
        "part-0001.csv",
        "part-1989.csv",
    ]
    for bomb in ("{1..1000000000}", "{a,b}" * 30):
        with pytest.raises(ValueError, match=f"more than {MAX_PATTERNS:,} patterns"):
            check_globs([bomb])


def test_many_short_globs_count_together() -> None:
    check_globs(["{1..5000}.csv", "{1..5000}.json"])
    with pytest.raises(ValueError, match="patterns"):
        check_globs(["{1..5000}.csv", "{1..5001}.json"])


RULES = (
    Rule(True, "keep/**/*.log"),
    Rule(False, "**/*.log"),
    Rule(False, "tmp/**"),
    Rule(True, "tmp/x"),
)


@pytest.mark.parametrize(
    ("key", "is_selected"),
    [("keep/a/b.log", True), ("a.log", False), ("tmp/x", False), ("other", True)],
)
def test_the_first_rule_that_matches_decides(key: str, is_selected: bool) -> None:
    assert Selection(rules=RULES).matches_name(key) is is_selected


def test_only_excludes_before_an_include_are_certain() -> None:
    assert not Selection(rules=RULES).excludes_name("a.log")
    assert Selection(rules=RULES[1:]).excludes_name("a.log")
    assert not Selection(rules=RULES[1:]).excludes_name("other")
    assert Selection(exclude=("A*",), ignore_case=True).excludes_name("ab")
    assert not Selection(include=("x",)).excludes_name("ab")


@pytest.mark.parametrize("pattern", ["**/*.CSV", "[a-b]/X.csv", "{A,c}/x.Csv"])
def test_case_makes_no_difference_where_it_is_ignored(pattern: str) -> None:
    assert Selection(include=(pattern,), ignore_case=True).matches_name("a/x.csv")
    assert not Selection(include=(pattern,)).matches_name("a/x.csv")
    assert not Selection(include=(pattern,), ignore_case=True).matches_name("a/x.txt")


def test_folders_stay_folders_where_case_is_ignored() -> None:
    assert not Selection(include=("*.CSV",), ignore_case=True).matches_name("a/x.csv")
