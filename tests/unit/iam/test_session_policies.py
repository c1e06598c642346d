"""Permissions that a role needs for each step, and the session policies made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

import pytest

from rolerunner.iam.session_policies import (
    apply_session_policies,
    collect_uses,
    derive_assume_uses,
)
from rolerunner.model import (
    AUTO,
    PER_STEP,
    Job,
    Notification,
    Permission,
    Plan,
    PlannedNotification,
    PlannedSecret,
    PlannedStep,
    Role,
    SecretSource,
    StateLocation,
    Step,
    Use,
)

ARN = "arn:aws:iam::111122223333:role"
HUB = Role(f"{ARN}/hub", "hub")
READER = Role(f"{ARN}/reader", "reader")
GET, PUT = (
    Permission("s3:GetObject", "arn:aws:s3:::b/*"),
    Permission("s3:PutObject", "arn:aws:s3:::b/*"),
)


def planned(step_id: str, role: Role, *needed: Permission, notes: tuple[str, ...] = ()) -> Any:
    return PlannedStep(
        Step(step_id, "x", {}, {"role": role}), {}, {"role": needed} if needed else {}, notes
    )


def make_plan(*steps: PlannedStep, state_role: Optional[Role] = None) -> Plan:
    state = None if state_role is None else StateLocation("s3://b/", state_role)
    job = Job("j", tuple(each.step for each in steps), state=state)
    needed = (PUT,) if state_role else ()
    uses = collect_uses(steps, needed, state_role)
    return Plan(job, steps, tuple(uses), needed, uses)


def actions(role: Optional[Role]) -> Any:
    assert role is not None
    return [each["Action"] for each in json.loads(role.policy)["Statement"]]


def test_a_role_needs_what_its_steps_and_the_state_need() -> None:
    uses = collect_uses([planned("a", READER, GET), planned("b", READER, GET)], [PUT], READER)
    assert uses == {READER: (Use(GET, "a"), Use(GET, "b"), Use(PUT, "state"))}


def test_a_role_needs_what_its_secrets_and_notifications_need() -> None:
    source = SecretSource("password", "ssm", "/p", None, READER)
    told = Notification(("failed",), "sns", "arn:aws:sns:eu-west-1:111122223333:t", HUB)
    webhook = Notification(("failed",), "webhook", "https://example.org")
    uses = collect_uses(
        [],
        [],
        None,
        [PlannedSecret(source, (GET,))],
        [PlannedNotification(told, (PUT,)), PlannedNotification(webhook)],
    )
    assert uses == {READER: (Use(GET, source.user),), HUB: (Use(PUT, "notify"),)}
    assert source.user not in {"", "state", "notify"}


def test_every_role_of_a_chain_may_assume_the_next() -> None:
    middle = Role(f"{ARN}/middle", "middle", via=HUB)
    last = Role(f"{ARN}/last", "last", via=middle, tags=(("a", "b"),))
    uses = collect_uses([planned("a", last, GET)], [], None)
    assert uses == {
        last: (Use(GET, "a"),),
        middle: (
            Use(Permission("sts:AssumeRole", last.arn), "role last"),
            Use(Permission("sts:TagSession", last.arn), "role last"),
        ),
        HUB: (Use(Permission("sts:AssumeRole", middle.arn), "role middle"),),
    }


def test_the_role_of_the_state_may_be_reached_through_another() -> None:
    state_role = replace(READER, via=HUB)
    uses = collect_uses([], [PUT], state_role)
    assert uses == {state_role: (Use(PUT, "state"),), HUB: tuple(derive_assume_uses(state_role))}


def test_without_automatic_policies_the_plan_is_unchanged() -> None:
    plan = make_plan(planned("a", READER, GET), planned("b", replace(READER, policy="{}"), GET))
    assert apply_session_policies(plan) is plan


def test_a_policy_of_all_steps_is_shared_by_them() -> None:
    role = replace(READER, policy=AUTO)
    plan = apply_session_policies(make_plan(planned("a", role, GET), planned("b", role, PUT)))
    first, second = (each.step.role for each in plan.steps)
    assert first == second
    assert actions(first) == [["s3:GetObject", "s3:PutObject"]]
    assert (first and first.step) == ""
    assert [step.role for step in plan.job.steps] == [first, second]


def test_a_policy_of_one_step_names_it() -> None:
    role = replace(READER, policy=PER_STEP)
    plan = apply_session_policies(
        make_plan(planned("a", role, GET), planned("b", role, PUT), state_role=role)
    )
    first, second = (each.step.role for each in plan.steps)
    state = plan.job.state.role if plan.job.state else None
    assert [actions(each) for each in (first, second, state)] == [
        ["s3:GetObject"],
        ["s3:PutObject"],
        ["s3:PutObject"],
    ]
    assert [each.step for each in (first, second, state) if each] == ["a", "b", "state"]


@pytest.mark.parametrize("mode", [AUTO, PER_STEP])
def test_a_hub_with_a_policy_may_assume_what_is_reached_through_it(mode: str) -> None:
    hub = replace(HUB, policy=mode)
    plan = apply_session_policies(make_plan(planned("a", replace(READER, via=hub), GET)))
    reader = plan.steps[0].step.role
    assert reader is not None
    assert reader.policy == ""
    assert actions(reader.via) == ["sts:AssumeRole"]
    assert reader.via is not None
    assert reader.via.step == ("a" if mode == PER_STEP else "")


def test_a_hub_without_a_policy_keeps_none() -> None:
    role = replace(READER, via=HUB, policy=AUTO)
    reader = apply_session_policies(make_plan(planned("a", role, GET))).steps[0].step.role
    assert reader is not None
    assert reader.via == HUB
    assert actions(reader) == ["s3:GetObject"]


def test_steps_whose_permissions_are_unknown_are_noted() -> None:
    role = replace(READER, policy=AUTO)
    other = planned("c", replace(HUB, policy=AUTO), notes=("nor these",))
    known, unknown = planned("a", role, GET), planned("b", role, notes=("its code", "its name"))
    plan = apply_session_policies(make_plan(known, unknown, other))
    shared = plan.steps[0].step.role
    assert shared is not None
    assert plan.narrowed[shared] == ("b: its code, its name",)


def test_a_policy_of_one_step_is_noted_for_that_step_alone() -> None:
    role = replace(READER, policy=PER_STEP)
    plan = apply_session_policies(
        make_plan(planned("a", role, GET), planned("b", role, notes=("its code",)))
    )
    first, second = (each.step.role for each in plan.steps)
    assert first is not None
    assert second is not None
    assert plan.narrowed[first] == ()
    (note,) = plan.narrowed[second]
    assert "may do nothing" in note
