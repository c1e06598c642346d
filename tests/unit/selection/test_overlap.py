"""Globs that count as disjoint choose no key on both sides of a copy."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.overlap import are_kept_apart, shared_folder

NAME = st.sampled_from(["a", "b", "ab", ".a", ".", "..", ""])
KEYS = st.lists(NAME, max_size=4).map("/".join)
PREFIXES = KEYS.map(lambda key: key and f"{key}/")
PART = st.sampled_from(
    ["**", "*", "?", "a", "b", "a*", "[ab]", "[!a]", "{a,b}", ".*", "{a/b,b}", "*b", ""]
)
GLOBS = st.lists(st.lists(PART, min_size=1, max_size=4).map("/".join), max_size=2)


@given(PREFIXES, st.one_of(PREFIXES, KEYS.filter(bool)), KEYS)
def test_keys_on_both_sides_begin_with_the_shared_folder(
    source: str, target: str, relative: str
) -> None:
    shared = shared_folder(S3Uri("box", source), S3Uri("box", target))
    written = target if not target or target.endswith("/") else f"{target}/"
    if (source + relative).startswith(written) and (written + relative).startswith(source):
        assert shared is not None
        assert relative.startswith(shared)


@given(GLOBS, GLOBS, PREFIXES, KEYS)
@example([], ["a/**"], "a/", "..")
@example(["*"], [], "a/", "b")
def test_what_globs_keep_apart_they_do_not_choose(
    include: list[str], exclude: list[str], folder: str, rest: str
) -> None:
    if rest and are_kept_apart(include, exclude, folder):
        assert not Selection.of(include, exclude).matches_name(folder + rest)


@pytest.mark.parametrize(
    ("source", "target", "shared"),
    [
        ("orders/2026-", "orders/2026-done/", "2026-done/"),
        ("orders/2026-", "orders/archive/", None),
        ("orders/2026-", "orders/", ""),
        ("orders/2026-", "", None),
        ("2026-", "", ""),
        ("", "x", "x/"),
    ],
)
def test_prefixes_that_are_no_folders(source: str, target: str, shared: str) -> None:
    assert shared_folder(S3Uri("box", source), S3Uri("box", target)) == shared
    assert shared_folder(S3Uri("box", source), S3Uri("other", target)) is None
