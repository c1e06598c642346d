"""Roles that the items of a step choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rolerunner.errors import FieldError
from rolerunner.model import Role, RoleChoice, Step
from rolerunner.run.item_roles import bind_roles
from rolerunner.spec.expressions import parse_template

NORTH, SOUTH, JOB_ROLE = (
    Role(f"arn:aws:iam::111122223333:role/{name}", name) for name in ("north", "south", "job")
)
CHOICE = RoleChoice(parse_template("${{ item.role }}"), {"north": NORTH, "south": SOUTH})
STEP = Step("a", "s3.copy", {}, {"source_role": JOB_ROLE}, {"role": CHOICE})


def bind(alias: Any, step: Step = STEP) -> Step:
    return bind_roles(step, lambda: {"item": {"role": alias}})


def test_an_item_chooses_a_role_and_keeps_the_others() -> None:
    bound = bind("south")
    assert bound.roles == {"source_role": JOB_ROLE, "role": SOUTH}
    assert bound.role_choices == {}
    assert bind("north").roles["role"] == NORTH


def test_a_step_without_choices_reads_nothing() -> None:
    def read_scope() -> Mapping[str, Any]:
        raise AssertionError("nothing is chosen")

    step = Step("a", "s3.list", {}, {"role": JOB_ROLE})
    assert bind_roles(step, read_scope) is step


@pytest.mark.parametrize(
    ("alias", "shown", "hint"),
    [
        ("nort", "nort", "did you mean 'north'?"),
        ("x", "x", "it may be north, south"),
        (7, "7", "it may be north, south"),
        (["north"], "['north']", "did you mean 'north'?"),
        ("y" * 200, "y" * 80, "it may be north, south"),
    ],
)
def test_another_role_is_refused(alias: Any, shown: str, hint: str) -> None:
    with pytest.raises(FieldError) as failed:
        bind(alias)
    assert f"'role' gives '{shown}', which is not a role that this step" in failed.value.message
    assert failed.value.hint == f"{hint}; 'roles' lists what items may choose"


def test_a_step_that_may_use_no_role() -> None:
    step = Step("a", "s3.copy", {}, {}, {"role": RoleChoice(CHOICE.alias, {})})
    with pytest.raises(FieldError) as failed:
        bind("north", step)
    assert failed.value.hint.startswith("it may be no role; ")
