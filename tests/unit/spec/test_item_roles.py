"""Roles that the items of a step choose: which they may be, and where a mistake is."""

from __future__ import annotations

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.loader import load_spec

HEAD = """\
version: 1
name: t
params: {partners: {type: list}, wanted: {type: list, required: true}}
roles:
  north: arn:aws:iam::111122223333:role/n
  south: arn:aws:iam::111122223333:role/s
steps:
"""
STEP = "  - {id: a, action: s3.list, source: s3://box/, role: '${{ item.role }}', %s}\n"


def choose(rest: str) -> list[str]:
    """Returns the aliases that the items of a step may choose."""
    job = load_spec(HEAD + STEP % rest, "t.yaml", registry(), {}, complete=False)
    (step,) = job.steps
    return sorted(step.role_choices["role"].options)


def find(rest: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        choose(rest)
    return [f"{each.mark}: {each.message}|{each.hint}" for each in caught.value.problems]


def test_known_items_give_the_roles() -> None:
    assert choose("for_each: [{role: north}, {role: north}]") == ["north"]


def test_declared_roles_stand_for_unknown_items() -> None:
    assert choose("for_each: '${{ params.partners }}', roles: [south]") == ["south"]
    assert choose("for_each: '${{ params.partners }}'") == []


@pytest.mark.parametrize(
    ("rest", "mistake"),
    [
        (
            "for_each: [{role: noth}]",
            "there is no role 'noth', which item 0 gives|did you mean 'north'?",
        ),
        (
            "for_each: [{role: zzzzz}]",
            "there is no role 'zzzzz', which item 0 gives|declare it under 'roles'",
        ),
        (
            "for_each: [{role: 5}]",
            "item 0 gives 5 as its role|it must be an alias of 'roles'",
        ),
        (
            "for_each: [{role: north}], roles: [south]",
            "item 0 gives the role 'north', which 'roles' does not list|",
        ),
        (
            "for_each: [{role: north}], roles: '${{ params.wanted }}'",
            "'roles' must be a list of aliases; it cannot be an expression|",
        ),
    ],
)
def test_a_mistake_is_at_the_item(rest: str, mistake: str) -> None:
    assert [each for each in find(rest) if mistake in each]


def test_an_item_without_a_role() -> None:
    (mistake,) = find("for_each: [{role: north}, {name: x}]")
    assert "item 1 gives no role: " in mistake
