"""Assumes all roles of a plan before the first step, and lists their use after the last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RoleRefused, StepError
from rolerunner.events import Event, RoleAssumed, RoleWasRefused
from rolerunner.model import JOB, RoleUse
from rolerunner.run.timeouts import run_with_timeout
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.model import Plan, Role
    from rolerunner.run.environment import RunEnvironment
    from rolerunner.sessions.registry import Sessions

_CONCURRENCY = 16
"""Roles assumed at the same time."""


def assume_roles(
    plan: Plan, environment: RunEnvironment, notify: Callable[[Event], None]
) -> dict[str, RoleRefused]:
    """Assumes every role once, and returns all refusals by role.

    A role that is reached through another one waits for it. Cancellation abandons the requests.
    """
    refusals: dict[str, RoleRefused] = {}
    if not plan.roles and not plan.secrets and not any(step.all_roles for step in plan.job.steps):
        return refusals

    def assume_each() -> None:
        job = _assume_role(JOB, environment)  # asks once who the job is, not in every thread
        if isinstance(job, RoleWasRefused) and uses_job(plan):
            notify(job)
            refusals[job.refusal.role] = job.refusal
        with ThreadPool(_CONCURRENCY, thread_name_prefix="rolerunner-role") as pool:
            roles = pool.map(lambda role: _assume_role(role, environment), plan.roles)
            for event in roles:  # in the order of the plan
                notify(event)
                if isinstance(event, RoleWasRefused):
                    refusals[event.refusal.role] = event.refusal

    try:
        run_with_timeout(assume_each, Cancel(environment.cancel), None, 0)
    except StepError:
        if not environment.cancel.is_set():
            raise
    return refusals


def uses_job(plan: Plan) -> bool:
    """Returns True if steps, secrets or the state use the job's own role as it is."""
    state = plan.job.state
    is_state = state is not None and state.role is not None and state.role.is_job
    return is_state or any(role.is_job for role in _list_used_roles(plan))


def _list_used_roles(plan: Plan) -> list[Role]:
    """Returns the roles of steps and secrets."""
    used = [role for step in plan.job.steps for role in step.all_roles]
    return used + [secret.source.role for secret in plan.secrets]


def drop_optional(refusals: Mapping[str, RoleRefused], plan: Plan) -> dict[str, RoleRefused]:
    """Returns the refusals that the run cannot do without: notifications need no more."""
    roles = (JOB, *plan.roles)  # a refusal of the job's own is there only if steps need it
    required = {str(role) for role in roles if role not in plan.optional_roles}
    return {name: refusal for name, refusal in refusals.items() if name in required}


def _assume_role(role: Role, environment: RunEnvironment) -> Union[RoleAssumed, RoleWasRefused]:
    started = time.monotonic()
    try:
        if environment.cancel.is_set():
            raise StepError("stopped before it was assumed", type="Stopped")
        environment.sessions.assume(role)
    except RoleRefused as refusal:
        return RoleWasRefused(refusal)
    session_arn = environment.sessions.session_arn(role)
    return RoleAssumed(str(role), session_arn, time.monotonic() - started)


def list_role_uses(plan: Plan, sessions: Sessions) -> tuple[RoleUse, ...]:
    """Returns the sessions of the plan's roles, and of the job's own role if it is used."""
    has_job = any(role.is_job for role in _list_used_roles(plan))
    roles = [JOB, *plan.roles] if has_job else plan.roles
    return tuple(
        RoleUse(
            str(role),
            role.arn,
            sessions.session_arn(role),
            sessions.count_assume_calls(role),
            role.step,
        )
        for role in roles
    )
