"""Assuming all roles of a plan before its first step."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RoleRefused, StepError
from rolerunner.events import RoleAssumed, RoleWasRefused
from rolerunner.model import (
    JOB,
    Job,
    Plan,
    PlannedSecret,
    Role,
    RoleUse,
    SecretSource,
    StateLocation,
    Step,
)
from rolerunner.run.environment import RunEnvironment
from rolerunner.run.roles import (
    _assume_role,
    assume_roles,
    drop_optional,
    list_role_uses,
    uses_job,
)

ROLES = tuple(Role(f"arn:aws:iam::111122223333:role/{name}", name) for name in "abc")


class FakeSessions:
    """Records the roles that are assumed; refuses those that the test names."""

    def __init__(self, **failures: Exception) -> None:
        self.failures = failures
        self.assumed: list[str] = []

    def assume(self, role: Role) -> None:
        self.assumed.append(str(role))
        if str(role) in self.failures:
            raise self.failures[str(role)]

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"

    def count_assume_calls(self, role: Role) -> int:
        del role
        return 3


def assume(sessions: Any, *roles: Role, cancel: Any = None, steps: tuple[Step, ...] = ()) -> Any:
    events: list[Any] = []
    unused: Any = None
    environment = RunEnvironment({}, sessions, unused, Path(), Path(), cancel=cancel or Cancel())
    return assume_roles(Plan(Job("j", steps), (), roles), environment, events.append), events


def test_every_role_is_assumed_after_the_jobs_own() -> None:
    sessions = FakeSessions()
    refusals, events = assume(sessions, *ROLES)
    assert (refusals, sessions.assumed[0], sorted(sessions.assumed[1:])) == ({}, "job", list("abc"))
    assert [(type(each), each.role, each.session_arn) for each in events] == [
        (RoleAssumed, name, f"session of {name}") for name in "abc"
    ]
    assert all(0 <= each.seconds < 60 for each in events)


def test_the_jobs_own_refusal_counts_where_a_step_or_the_state_needs_it() -> None:
    refusal = RoleRefused("no credentials", role="job", type="NoCredentials")
    own = Step("own", "s3.read", {}, {"role": JOB})
    other = Step("other", "s3.read", {}, {"role": ROLES[0]})
    for steps, is_needed in (((own,), True), ((other,), False)):
        refusals, events = assume(FakeSessions(job=refusal), ROLES[0], steps=steps)
        assert list(refusals) == (["job"] if is_needed else [])
        assert [type(each) for each in events] == [RoleWasRefused] * is_needed + [RoleAssumed]
    plan = Plan(Job("j", (own,)), (), ROLES, optional_roles=frozenset(ROLES))
    assert drop_optional({"job": refusal, "a": refusal}, plan) == {"job": refusal}
    state = StateLocation("s3://bucket/state/", JOB)
    assert uses_job(Plan(Job("j", (other,), state=state), (), ROLES))
    assert not uses_job(Plan(Job("j", (other,)), (), ROLES))


def test_all_refusals_are_returned() -> None:
    refusals = {name: RoleRefused("no", role=name) for name in "ac"}
    found, events = assume(FakeSessions(**refusals), *ROLES)
    assert found == refusals
    assert [type(each) for each in events] == [RoleWasRefused, RoleAssumed, RoleWasRefused]


def test_a_job_without_roles_asks_for_nothing() -> None:
    sessions = FakeSessions()
    assert assume(sessions, steps=(Step("a", "x", {}),)) == ({}, [])
    assert sessions.assumed == []
    assume(sessions, steps=(Step("a", "x", {}), Step("b", "x", {}, {"role": JOB})))
    assert sessions.assumed == ["job"]


def test_another_failure_ends_the_run() -> None:
    with pytest.raises(StepError, match="broken"):
        assume(FakeSessions(b=StepError("broken")), *ROLES)


def test_a_stopped_run_abandons_its_requests_at_once() -> None:
    release = threading.Event()

    class Hanging(FakeSessions):
        def assume(self, role: Role) -> None:
            super().assume(role)
            cancel.set()
            release.wait(30)

    seconds = []
    for _ in range(3):  # a busy machine may take longer now and then
        cancel, sessions, started = Cancel(), Hanging(), time.monotonic()
        assert assume(sessions, *ROLES, cancel=cancel)[0] == {}
        seconds.append(time.monotonic() - started)
        assert sessions.assumed == ["job"]
    release.set()
    assert min(seconds) < 0.9, "nothing that they could finish is worth a wait"


def test_the_job_is_assumed_for_secrets_alone() -> None:
    sessions: Any = FakeSessions()
    unused: Any = None
    environment = RunEnvironment({}, sessions, unused, Path(), Path())
    secrets = (PlannedSecret(SecretSource("p", "ssm", "/p"), ()),)
    assume_roles(Plan(Job("j", ()), (), (), secrets=secrets), environment, lambda _: None)
    assert sessions.assumed == ["job"]


def test_a_stopped_run_assumes_no_further_role() -> None:
    sessions: Any = FakeSessions()
    unused: Any = None
    environment = RunEnvironment({}, sessions, unused, Path(), Path())
    environment.cancel.set()
    with pytest.raises(StepError, match="stopped before it was assumed") as stopped:
        _assume_role(ROLES[0], environment)
    assert (stopped.value.type, sessions.assumed) == ("Stopped", [])


@pytest.mark.parametrize(("is_used", "names"), [(False, ["a"]), (True, ["job", "a"])])
def test_the_use_of_the_jobs_own_role_is_listed_if_a_step_or_secret_needs_it(
    is_used: bool, names: list[str]
) -> None:
    sessions: Any = FakeSessions()
    by_step = Plan(Job("j", (Step("x", "x", {}, {"role": JOB if is_used else ROLES[0]}),)), (), ())
    source = SecretSource("p", "ssm", "/p", None, JOB if is_used else ROLES[0])
    by_secret = Plan(Job("j", ()), (), (), secrets=(PlannedSecret(source, ()),))
    for plan in (by_step, by_secret):
        uses = list_role_uses(replace(plan, roles=ROLES[:1]), sessions)
        assert [each.role for each in uses] == names
        assert uses[-1] == RoleUse("a", ROLES[0].arn, "session of a", 3, "")
