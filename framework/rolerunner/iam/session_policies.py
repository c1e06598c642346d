"""Session policies that allow what steps need: ``session_policy: auto`` and ``auto-per-step``."""

from __future__ import annotations

from dataclasses import field, replace
from itertools import chain
from typing import TYPE_CHECKING, Optional

from rolerunner.iam.role_denials import list_assume_actions
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import (
    AUTO,
    PER_STEP,
    Permission,
    Plan,
    PlannedNotification,
    PlannedSecret,
    PlannedStep,
    Role,
    Use,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rolerunner.model import Step

STATE_USER = "state"
"""The user of the permissions that the state of runs needs."""
NOTIFY_USER = "notify"
"""The user of the permissions that notifications need."""


def collect_uses(
    steps: Sequence[PlannedStep],
    state: Sequence[Permission],
    state_role: Optional[Role],
    secrets: Sequence[PlannedSecret] = (),
    notify: Sequence[PlannedNotification] = (),
) -> dict[Role, tuple[Use, ...]]:
    """Returns role -> the permissions it needs, and for which step, or which secret.

    A role that others are assumed from needs the permission to assume those.
    """
    found: dict[Role, dict[Use, None]] = {}
    for planned in steps:
        for name, role in planned.step.roles.items():
            _collect_chain(role, found)
            found[role].update(
                (Use(permission, planned.step.id), None)
                for permission in planned.permissions.get(name, ())
            )
    for secret in secrets:
        _collect_chain(secret.source.role, found)
        found[secret.source.role].update(
            (Use(permission, secret.source.user), None) for permission in secret.permissions
        )
    if state_role is not None:
        _collect_chain(state_role, found)
        found[state_role].update((Use(permission, STATE_USER), None) for permission in state)
    for told in notify:
        sender = told.notification.role
        if sender is not None:
            _collect_chain(sender, found)
            found[sender].update((Use(each, NOTIFY_USER), None) for each in told.permissions)
    return {role: tuple(uses) for role, uses in found.items()}


def _collect_chain(role: Role, found: dict[Role, dict[Use, None]]) -> None:
    found.setdefault(role, {})
    if role.via is not None:
        _collect_chain(role.via, found)
        found[role.via].update((use, None) for use in derive_assume_uses(role))


def derive_assume_uses(role: Role) -> Iterator[Use]:
    """Yields the permissions that assuming the role needs."""
    for action in list_assume_actions(role):
        yield Use(Permission(action, role.arn), f"role {role}")


def apply_session_policies(plan: Plan) -> Plan:
    """Returns the plan with a session policy for each role that has an automatic one."""
    if not any(_is_auto(role) for role in plan.uses):
        return plan
    by_id: dict[str, list[PlannedStep]] = {}
    for planned in plan.steps:
        by_id.setdefault(planned.step.id, []).append(planned)
    assigner = _PolicyAssigner(plan.uses, by_id)
    steps = tuple(assigner.assign_step(planned) for planned in plan.steps)
    secrets = tuple(assigner.assign_secret(secret) for secret in plan.secrets)
    state = plan.job.state
    if state is not None and state.role is not None:
        state = replace(state, role=assigner.assign_role(state.role, STATE_USER))
    notify = tuple(map(assigner.assign_notification, plan.notify))
    job = replace(
        plan.job,
        steps=tuple(assigner.assign_job_step(step) for step in plan.job.steps),
        state=state,
        notify=tuple(planned.notification for planned in notify),
    )
    return replace(
        plan, job=job, steps=steps, secrets=secrets, notify=notify, narrowed=assigner.notes
    )


def _is_auto(role: Optional[Role]) -> bool:
    return role is not None and (role.policy in (AUTO, PER_STEP) or _is_auto(role.via))


@dataclass
class _PolicyAssigner:
    uses: Mapping[Role, tuple[Use, ...]]
    steps: Mapping[str, Sequence[PlannedStep]]
    """Step id -> the step, once for each role that its items choose."""
    notes: dict[Role, tuple[str, ...]] = field(default_factory=dict)
    shared: dict[tuple[Role, Optional[Role]], Role] = field(default_factory=dict)
    """Roles with one policy for all their steps."""
    by_step: dict[Role, dict[str, list[Use]]] = field(default_factory=dict)

    def assign_step(self, planned: PlannedStep) -> PlannedStep:
        roles = {
            name: self.assign_role(role, planned.step.id)
            for name, role in planned.step.roles.items()
        }
        return replace(planned, step=replace(planned.step, roles=roles))

    def assign_secret(self, secret: PlannedSecret) -> PlannedSecret:
        source = secret.source
        role = self.assign_role(source.role, source.user)
        return replace(secret, source=replace(source, role=role))

    def assign_notification(self, planned: PlannedNotification) -> PlannedNotification:
        role = planned.notification.role
        if role is None:
            return planned
        role = self.assign_role(role, NOTIFY_USER)
        return replace(planned, notification=replace(planned.notification, role=role))

    def assign_job_step(self, step: Step) -> Step:
        """Returns a step of the job, with the roles inside a group and those that items choose."""
        return replace(
            step,
            roles={name: self.assign_role(role, step.id) for name, role in step.roles.items()},
            role_choices={
                name: replace(
                    choice,
                    options={
                        alias: self.assign_role(role, step.id)
                        for alias, role in choice.options.items()
                    },
                )
                for name, choice in step.role_choices.items()
            },
            steps=tuple(self.assign_job_step(inner) for inner in step.steps),
        )

    def assign_role(self, role: Role, by: str, through: Optional[Role] = None) -> Role:
        """Returns the role as the step ``by`` uses it; ``through`` is the role assumed from it."""
        via = None if role.via is None else self.assign_role(role.via, by, role)
        if role.policy == PER_STEP:
            uses = (
                self._list_step_uses(role, by)
                if through is None
                else tuple(derive_assume_uses(through))
            )
            return self._attach_policy(role, via, uses, by)
        if role.policy != AUTO:
            return replace(role, via=via)
        if (role, via) not in self.shared:  # every step of the role asks for it
            self.shared[role, via] = self._attach_policy(role, via, self.uses[role], "")
        return self.shared[role, via]

    def _list_step_uses(self, role: Role, by: str) -> tuple[Use, ...]:
        if role not in self.by_step:
            found: dict[str, list[Use]] = {}
            for use in self.uses[role]:
                found.setdefault(use.by, []).append(use)
            self.by_step[role] = found
        return tuple(self.by_step[role].get(by, ()))

    def _attach_policy(
        self, role: Role, via: Optional[Role], uses: tuple[Use, ...], step: str
    ) -> Role:
        from rolerunner.iam.policy_fitting import fit_session_policy  # noqa: PLC0415 - few roles ask for one

        text, notes = fit_session_policy(uses)
        narrowed_role = replace(role, via=via, policy=text, step=step)
        self.notes[narrowed_role] = (*notes, *self._note_unknown(role, step, uses))
        return narrowed_role

    def _note_unknown(self, role: Role, by: str, uses: Sequence[Use]) -> Iterator[str]:
        """Yields a note for each step of the role whose permissions cannot be derived."""
        if not uses:
            return
        steps = self.steps.get(by, ()) if by else chain.from_iterable(self.steps.values())
        for planned in steps:
            if role in planned.step.roles.values() and not planned.permissions:
                yield f"{planned.step.id}: {', '.join(planned.notes)}"
