"""Globs that are wrong, and globs that stand for many patterns."""

import pytest

from rolerunner.selection.filters import MAX_PATTERNS, Selection, check_globs, find_imbalance


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
