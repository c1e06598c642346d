"""Sessions that may do what their steps need and no more: ``session_policy: auto`` and ``auto-per-step``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Optional

from rolerunner.iam.role_denials import list_assume_actions
from rolerunner.model import AUTO, PER_STEP, Permission, Plan, PlannedStep, Role, Use

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STATE_USER = "state"
"""Who needs what the state of runs needs."""


def collect_uses(
    steps: Sequence[PlannedStep], state: Sequence[Permission], state_role: Optional[Role]
) -> dict[Role, tuple[Use, ...]]:
    """Role, as the spec says it -> each permission and who needs it; of a role that others are reached through, assuming those."""
    found: dict[Role, dict[Use, None]] = {}
    for planned in steps:
        for name, role in planned.step.roles.items():
            _note_chain(role, found)
            found[role].update(
                (Use(permission, planned.step.id), None)
                for permission in planned.permissions.get(name, ())
            )
    if state_role is not None:
        _note_chain(state_role, found)
        found[state_role].update((Use(permission, STATE_USER), None) for permission in state)
    return {role: tuple(uses) for role, uses in found.items()}


def _note_chain(role: Role, found: dict[Role, dict[Use, None]]) -> None:
    found.setdefault(role, {})
    if role.via is not None:
        _note_chain(role.via, found)
        found[role.via].update((use, None) for use in derive_assume_uses(role))


def derive_assume_uses(role: Role) -> Iterator[Use]:
    """What whoever assumes the role needs for that."""
    for action in list_assume_actions(role):
        yield Use(Permission(action, role.arn), f"role {role}")


def apply_session_policies(plan: Plan) -> Plan:
    """The plan with a session policy for each role that asks for one made from its steps."""
    if not any(_is_auto(role) for role in plan.uses):
        return plan
    narrowing = _Narrowing(plan.uses, {planned.step.id: planned for planned in plan.steps})
    steps = tuple(narrowing.step(planned) for planned in plan.steps)
    state = plan.job.state
    if state is not None and state.role is not None:
        state = replace(state, role=narrowing.role(state.role, STATE_USER))
    job = replace(plan.job, steps=tuple(planned.step for planned in steps), state=state)
    return replace(plan, job=job, steps=steps, narrowed=narrowing.notes)


def _is_auto(role: Optional[Role]) -> bool:
    return role is not None and (role.policy in (AUTO, PER_STEP) or _is_auto(role.via))


@dataclass
class _Narrowing:
    uses: Mapping[Role, tuple[Use, ...]]
    steps: Mapping[str, PlannedStep]
    notes: dict[Role, tuple[str, ...]] = field(default_factory=dict)
    shared: dict[tuple[Role, Optional[Role]], Role] = field(default_factory=dict)
    """Roles whose steps share a session, made already."""
    by_step: dict[Role, dict[str, list[Use]]] = field(default_factory=dict)

    def step(self, planned: PlannedStep) -> PlannedStep:
        roles = {
            name: self.role(role, planned.step.id) for name, role in planned.step.roles.items()
        }
        return replace(planned, step=replace(planned.step, roles=roles))

    def role(self, role: Role, by: str, through: Optional[Role] = None) -> Role:
        """The role as ``by`` uses it; ``through``: the role that it is there to assume."""
        via = None if role.via is None else self.role(role.via, by, role)
        if role.policy == PER_STEP:
            uses = (
                self._of_step(role, by) if through is None else tuple(derive_assume_uses(through))
            )
            return self._made(role, via, uses, by)
        if role.policy != AUTO:
            return replace(role, via=via)
        if (role, via) not in self.shared:  # every step of the role asks for it
            self.shared[role, via] = self._made(role, via, self.uses[role], "")
        return self.shared[role, via]

    def _of_step(self, role: Role, by: str) -> tuple[Use, ...]:
        if role not in self.by_step:
            found: dict[str, list[Use]] = {}
            for use in self.uses[role]:
                found.setdefault(use.by, []).append(use)
            self.by_step[role] = found
        return tuple(self.by_step[role].get(by, ()))

    def _made(self, role: Role, via: Optional[Role], uses: tuple[Use, ...], step: str) -> Role:
        from rolerunner.iam.policy import fit_session_policy  # noqa: PLC0415 - few roles ask for one

        text, notes = fit_session_policy(uses)
        made = replace(role, via=via, policy=text, step=step)
        self.notes[made] = (*notes, *self._unknown(role, step, uses))
        return made

    def _unknown(self, role: Role, by: str, uses: Sequence[Use]) -> Iterator[str]:
        """Steps of the role of which nothing says what they need."""
        if not uses:
            return
        for planned in [self.steps[by]] if by in self.steps else [] if by else self.steps.values():
            if role in planned.step.roles.values() and not planned.permissions:
                yield f"{planned.step.id}: {', '.join(planned.notes)}"
