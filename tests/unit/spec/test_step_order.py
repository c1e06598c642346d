"""The order of steps: declared, read from, or that of the file; cycles and unknown ids."""

from __future__ import annotations

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.loader import load_spec


def text(*steps: str) -> str:
    lines = "\n".join(
        f"  - {{{each}, action: s3.list, role: job, source: s3://bucket/x/}}" for each in steps
    )
    return f"version: 1\nname: t\nsteps:\n{lines}\n"


def needs(*steps: str) -> dict[str, tuple[str, ...]]:
    return {step.id: step.needs for step in load_spec(text(*steps), "t", registry(), {}).steps}


def problems(*steps: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(text(*steps), "t", registry(), {})
    return [
        f"{each.mark.line}:{each.mark.column}: {each.message}"
        + (f" ({each.hint})" if each.hint else "")
        for each in caught.value.problems
    ]


READ = "when: '${{ steps.a.count > 0 }}'"


@pytest.mark.parametrize(
    ("steps", "waits"),
    [
        (["id: a"], {"a": ()}),
        (["id: a", "id: b", "id: c"], {"a": (), "b": ("a",), "c": ("b",)}),
        (["id: a", "id: b, needs: []", "id: c"], {"a": (), "b": (), "c": ("a", "b")}),
        (
            ["id: a", "id: b, needs: [a]", "id: c, needs: [a]", "id: d"],
            {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
        ),
        (["id: a, needs: [b]", "id: b, needs: []"], {"b": (), "a": ("b",)}),
        (["id: a", f"id: b, needs: [], {READ}"], {"a": (), "b": ("a",)}),
        (["id: a", f"id: b, needs: [a], {READ}"], {"a": (), "b": ("a",)}),
    ],
)
def test_a_step_waits_for_what_it_names_reads_or_follows(
    steps: list[str], waits: dict[str, tuple[str, ...]]
) -> None:
    assert needs(*steps) == waits


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (["id: a", "id: a"], ["5:10: duplicate step id 'a' (the first is on line 4)"]),
        (["id: a, needs: [a]"], ["4:21: the step 'a' cannot wait for itself"]),
        (
            ["id: find", "id: b, needs: [fnd]"],
            ["5:21: there is no step 'fnd' (did you mean 'find'?)"],
        ),
        (["id: a, needs: [zzzz]"], ["4:21: there is no step 'zzzz'"]),
        (
            ["id: a, needs: '${{ params.x }}'"],
            ["4:20: 'needs' must be a list of ids; it cannot be an expression"],
        ),
    ],
)
def test_mistakes(steps: list[str], found: list[str]) -> None:
    assert [each for each in problems(*steps) if "param" not in each] == found


def test_a_cycle_is_shown_at_its_last_step() -> None:
    (found,) = problems("id: a, needs: [b]", "id: b, needs: [a]")
    assert found.startswith("5:20: steps depend on each other in a cycle: ")
    assert set(found.rpartition(": ")[2].split(" -> ")) == {"a", "b"}
