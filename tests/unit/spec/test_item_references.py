"""Names that steps read from the items of ``for_each``."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.loader import load_spec

BOTH = "[{name: north, part: a}, {name: south, part: b}]"
SOME = "[{name: north, part: a}, {name: south}]"


def find_problems(items: str, text: str, more: str = "", **params: Any) -> list[tuple[str, str]]:
    """Returns what is wrong with a step, and in the same way with a group."""
    step = f'action: s3.write, role: job, target: "s3://bucket/x", text: "{text}"{more}'
    head = "version: 1\nname: t\nparams: {many: {type: list, default: []}}\nsteps:\n"
    found: list[list[tuple[str, str]]] = []
    for steps in (
        f"  - {{id: out, for_each: {items}, {step}}}\n",
        f"  - id: g\n    for_each: {items}\n    steps:\n      - {{id: out, {step}}}\n",
    ):
        try:
            load_spec(head + steps, "t", registry(), params)
            found.append([])
        except SpecError as error:
            found.append([(each.message, each.hint) for each in error.problems])
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("items", "text", "found"),
    [
        (BOTH, "${{ item.part }}", []),
        (BOTH, "${{ item.nam }}", [("there is no 'item.nam'", "did you mean 'name'?")]),
        (BOTH, "a ${{ item.nam | upper }}", [("there is no 'item.nam'", "did you mean 'name'?")]),
        ("[a, b]", "${{ item.name }}",
         [("'item' has no parts, so 'item.name' does not exist", "")]),
        ("[{a: {b: 1}}]", "${{ item.a.b }}", []),
        ("[{a: {b: 1}}]", "${{ item.a.c }}", [("there is no 'item.a.c'", "")]),
        (SOME, "${{ item.part }}", [("there is no 'item.part', such as in item 1", "")]),
        (SOME, "${{ item.part if item.name == 'north' else '' }}", []),
        ("[]", "${{ item.nam }}", []),
        ("'${{ params.many }}'", "${{ item.nam }}", []),
    ],
)  # fmt: skip
def test_names_that_items_lack(items: str, text: str, found: list[tuple[str, str]]) -> None:
    assert find_problems(items, text) == found


def test_a_condition_may_leave_items_out() -> None:
    when = ", when: \"${{ item.name == 'north' }}\""
    head = "version: 1\nname: t\nsteps:\n  - id: g\n"
    step = '{id: out, action: s3.write, role: job, target: "s3://b-1/x", text: "${{ item.part }}"'
    load_spec(f"{head}    for_each: {SOME}\n    steps: [{step}{when}}}]\n", "t", registry(), {})


def test_items_of_a_param_are_checked_together() -> None:
    """One wrong item of many fails alone, as the group allows; a wrong name fails them all."""
    items = "'${{ params.many }}'"
    assert find_problems(items, "${{ item.part }}", many=[{"part": 1}, {"name": "x"}]) == []
    assert find_problems(items, "${{ item.prat }}", many=[{"part": 1}, {"name": "x"}]) == [
        ("there is no 'item.prat'", "did you mean 'part'?")
    ]
