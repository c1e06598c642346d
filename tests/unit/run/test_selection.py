"""The steps that ``--only`` names."""

from __future__ import annotations

import pytest

from rolerunner.errors import UsageError
from rolerunner.model import GROUP, Job, Step
from rolerunner.run.selection import Selection, find_name_mistake
from rolerunner.spec.expressions import parse_template

INNER = (Step("g.x", "s3.list", {}), Step("g.y", "s3.list", {}))
JOB = Job(
    "j",
    (
        Step("a", "s3.list", {}),
        Step("g", GROUP, {}, for_each=[{"name": "north"}, {"n": 1}], steps=INNER),
        Step("h", GROUP, {}, for_each=parse_template("${{ steps.a.count }}"), steps=INNER[:1]),
    ),
)


def test_an_empty_selection_has_every_step() -> None:
    everything = Selection.of([])
    assert not everything.is_partial
    assert everything.has_step("a")
    assert everything.has_part_of("g")
    assert everything.list_items("g") == []


def test_a_selection_has_parts_of_groups() -> None:
    some = Selection.of(["a", "g[north].x", "h.x"])
    assert [some.has_step(each) for each in ("a", "g[north].x", "h[1].x")] == [True] * 3
    assert [some.has_step(each) for each in ("b", "g[south].x", "g[north].y")] == [False] * 3
    assert some.has_step("g[south].x", "g[north].x"), "by one of its names"
    assert [some.has_part_of(each) for each in ("g", "g.x", "g.y", "h", "i")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert some.list_items("g") == ["north"]


def test_what_is_no_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"'g\[' is not the id of a step"):
        Selection.of(["g["])


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("a", "", ""),
        ("g", "", ""),
        ("g[north].x", "", ""),
        ("g[#1].y", "", ""),
        ("h[anything].x", "", ""),
        ("b", "there is no step 'b'", "known: a, g, h"),
        ("a[x]", "'a' is a step, not a group of steps", ""),
        ("a.x", "'a' is a step, not a group of steps", ""),
        ("g.z", "the group 'g' has no step 'z'", "known: x, y"),
        ("g[nroth]", "the group 'g' has no item 'nroth'", "did you mean 'north'?"),
        ("g[#2]", "the group 'g' has no item '#2'", "known: north, #1"),
        ("g[a].x.y", "'g[a].x.y' is not the id of a step, such as fetch or group[item].fetch", ""),
    ],
)
def test_a_wrong_name_is_found_before_the_run(name: str, message: str, hint: str) -> None:
    assert find_name_mistake(JOB, name) == (message, hint)


@pytest.mark.parametrize(("count", "more"), [(10, ""), (11, ", ...")])
def test_a_hint_lists_ten_names_at_most(count: int, more: str) -> None:
    names = [f"step{number:02}" for number in range(count)]
    job = Job("j", tuple(Step(name, "s3.list", {}) for name in names))
    _, hint = find_name_mistake(job, "x")
    assert hint == f"known: {', '.join(names[:10])}{more}"
