"""Assuming all roles of a plan before its first step."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RoleRefused, StepError
from rolerunner.events import RoleAssumed, RoleWasRefused
from rolerunner.model import JOB, Job, Plan, Role, Step
from rolerunner.run.environment import RunEnvironment
from rolerunner.run.roles import assume_roles

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
