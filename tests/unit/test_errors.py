"""The error tree: exit statuses, order of problems, pickling."""

from __future__ import annotations

import pickle
import re

import pytest

from rolerunner import errors
from rolerunner.errors import (
    AccessDenied,
    Mark,
    Problem,
    RoleRefused,
    RolerunnerError,
    RolesRefused,
    SpecError,
    StepError,
    UsageError,
)


def refusal(kind: str = "AccessDenied") -> RoleRefused:
    return RoleRefused("no", role="reader", type=kind)


def test_a_place_and_a_problem_read_as_one_line() -> None:
    mark = Mark("f.yaml", 2, 3)
    assert str(mark) == "f.yaml:2:3"
    assert str(Problem(mark, "unknown key")) == "f.yaml:2:3: unknown key"
    assert str(Problem(mark, "unknown key", "use x")) == "f.yaml:2:3: unknown key (use x)"


def test_mistakes_are_in_the_order_of_the_file() -> None:
    places = [Mark("b", 1, 1), Mark("a", 10, 1), Mark("a", 9, 2), Mark("a", 9, 1)]
    error = SpecError([Problem(mark, "x") for mark in places])
    assert [problem.mark for problem in error.problems] == sorted(places)
    assert str(error) == "a:9:1: x\na:9:2: x\na:10:1: x\nb:1:1: x"
    assert str(SpecError([])) == ""


def test_statuses_and_the_tree_are_those_of_the_docstring() -> None:
    statuses: dict[type, int] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"[ │├└─]*(\w+)\s{2,}(?:exit status )?(\d)?", line)
        if found and hasattr(errors, found[1]):
            kind = getattr(errors, found[1])
            statuses[kind] = int(found[2] or StepError.exit_status)
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, RolerunnerError)
    }
    assert statuses == {kind: kind.exit_status for kind in kinds}


def test_a_failure_has_the_type_of_its_class_or_its_own() -> None:
    error = AccessDenied("no", hint="ask")
    assert (error.type, error.message, error.hint, str(error)) == (
        "AccessDenied",
        "no",
        "ask",
        "no",
    )
    assert (error.attempts, error.still_runs) == (1, False)
    assert StepError("x", type="MaxDelete").type == "MaxDelete"
    assert refusal("").type == "RoleRefused"


def test_failures_travel_between_processes_with_all_they_hold() -> None:
    error = RoleRefused("no", role="r", hint="h", asked_by="a", through="t", type="X")
    error.attempts = 3
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is RoleRefused
    assert (copied.args, vars(copied)) == (error.args, vars(error))


@pytest.mark.parametrize(
    ("refusals", "ran_any", "summary"),
    [
        ([refusal()], False, "1 role was refused, no step ran"),
        ([refusal(), refusal()], False, "2 roles were refused, no step ran"),
        ([refusal()], True, "1 role was refused, only steps for failures ran"),
        (
            [refusal(), refusal("StsUnreachable")],
            False,
            "2 roles could not be assumed, no step ran",
        ),
        ([refusal("NotSts")], False, "1 role could not be assumed, no step ran"),
    ],
)
def test_refused_roles_are_summed_up(
    refusals: list[RoleRefused], ran_any: bool, summary: str
) -> None:
    error = RolesRefused(refusals, ran_any=ran_any)
    assert error.summary == summary
    assert str(error) == "\n".join("no" for _ in refusals)


def test_all_are_caught_as_one() -> None:
    with pytest.raises(RolerunnerError):
        raise UsageError("x")
