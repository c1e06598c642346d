"""The names of objects below a target."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions.object_names import ObjectNamer, find_name_problem, is_folder_marker
from rolerunner.errors import UnsafeKey
from rolerunner.spec.expressions import parse_template
from rolerunner.spec.object_templates import bind_template


def namer(text: str | None, *, flatten: bool = False) -> ObjectNamer:
    name: Any = text
    if text is not None and "${{" in text:
        name = bind_template(parse_template(text), {"params": {}})
    return ObjectNamer(name, flatten=flatten)


def name_of(text: str | None, relative: str, *, flatten: bool = False, modified: str = "") -> str:
    return namer(text, flatten=flatten).name(f"in/{relative}", relative, 5, modified, 3)


@pytest.mark.parametrize(
    ("relative", "parts"),
    [
        ("a.csv", ["", "a.csv", "a", ".csv"]),
        ("x/y/a.csv.gz", ["x/y/", "a.csv.gz", "a.csv", ".gz"]),
        ("x/.hidden", ["x/", ".hidden", ".hidden", ""]),
        ("x.d/a", ["x.d/", "a", "a", ""]),
        ("x/a.", ["x/", "a.", "a.", ""]),
        ("x//a.b", ["x//", "a.b", "a", ".b"]),
    ],
)
def test_parts_of_a_name(relative: str, parts: list[str]) -> None:
    text = "|".join(f"${{{{ object.{name} }}}}" for name in ("folder", "name", "stem", "suffix"))
    assert name_of(f"_{text}", relative) == "_" + "|".join(parts)


def test_the_other_values() -> None:
    text = "${{ object.key }} ${{ object.relative }} ${{ object.size }} ${{ object.number }}"
    assert name_of(text, "x/a") == "in/x/a x/a 5 3"
    assert name_of("${{ object.modified }}", "a", modified="2026-01-31T01:02:03Z") == (
        "2026-01-31 01:02:03+00:00"
    )
    assert name_of("${{ object.modified }}", "a", modified="2026-01-31T01:02:03.000Z") == (
        "2026-01-31 01:02:03+00:00"
    )


def test_without_a_name_an_object_keeps_its_own() -> None:
    assert not namer(None).renames
    assert name_of(None, "x/../a") == "x/../a"
    assert namer("x").renames
    assert name_of("x", "y/a") == "x"
    assert name_of(None, "y/a", flatten=True) == "a"


def test_only_some_names_depend_on_the_status_of_a_file() -> None:
    assert [
        namer(text).reads_status
        for text in (
            None,
            "x",
            "${{ object.name }}",
            "${{ object.size }}",
            "${{ object.modified }}",
        )
    ] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("/a", "begins with '/'"),
        ("/", "begins with '/'"),
        ("a/", "ends with '/'"),
        (".", "has a part '.' or '..'"),
        ("..", "has a part '.' or '..'"),
        ("../a", "has a part"),
        ("a/..", "has a part"),
        ("a/../b", "has a part"),
        ("a/./b", "has a part"),
        ("a\0b", "contains a NUL"),
    ],
)
def test_a_name_must_stay_below_the_target(name: str, problem: str) -> None:
    assert problem in find_name_problem(name)
    with pytest.raises(UnsafeKey, match="the name '"):
        name_of(name, "a")


@pytest.mark.parametrize("name", ["a", ".a", "a/.b", "...", "a/...", "a..b", "a//b", "-", " ", "é"])
def test_other_names_are_taken(name: str) -> None:
    assert find_name_problem(name) == ""
    assert name_of(name, "x") == name


def test_what_has_no_time_has_no_name_with_a_time() -> None:
    with pytest.raises(UnsafeKey, match="in/a has no name: its time is not known") as caught:
        name_of("${{ object.modified }}", "a")
    assert "s3.list" in caught.value.hint


def test_empty_objects_that_end_with_a_slash_stand_for_folders() -> None:
    assert is_folder_marker("a/", 0)
    assert not is_folder_marker("a/", 1)
    assert not is_folder_marker("a", 0)
