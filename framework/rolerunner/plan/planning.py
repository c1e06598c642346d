"""Job -> Plan: the order of steps, the distinct roles, the permissions. Data, made before anything runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.common.failures import as_step_error
from rolerunner.iam.actions_table import render_condition, resolve_for_role
from rolerunner.iam.session_policies import apply_session_policies, collect_uses
from rolerunner.model import (
    DeclaredPermission,
    Job,
    Permission,
    Plan,
    PlannedStep,
    Role,
    RoleArn,
    S3Uri,
    StateLocation,
    Step,
)
from rolerunner.plan.partial_values import UNKNOWN_PERMISSIONS, PartialValues, fill_known
from rolerunner.redaction.secrets import MASK, Secret
from rolerunner.spec.expressions import Template
from rolerunner.spec.reader import iter_templates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolerunner.actions.base import Action


MAX_ITEMS = 50
"""Items of a for_each whose permissions are told apart; those of more are told together, with * for the item."""
_EVERYTHING = frozenset({"*", "arn:aws:s3:::*", "arn:aws:s3:::*/*"})


def make_plan(job: Job, actions: Mapping[str, type[Action]]) -> Plan:
    """What a run of the job will do, in order."""
    predicted: dict[tuple[str, ...], Any] = {}
    steps = tuple(_planned(step, job, actions, predicted) for step in job.steps)
    state_role = job.state.role if job.state is not None else None
    state = tuple(_under(state_role, job, _of_state(job))) if state_role is not None else ()
    plan = apply_session_policies(
        Plan(job, steps, (), state, collect_uses(steps, state, state_role))
    )
    return replace(plan, roles=tuple(_distinct(plan.job)))


def _of_state(job: Job) -> Iterator[Permission]:
    """What the state's role needs: documents are read, listed for (a missing one is a 404 only then) and written."""
    if job.state is not None and job.state.role is not None:
        prefix = state_prefix(job.state).join(f"{job.name}/")
        yield list_permission(prefix)
        yield from (
            object_permission(action, prefix)
            for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
        )


def _under(role: Role, job: Job, permissions: Iterable[Permission]) -> Iterator[Permission]:
    """The permissions as this role needs them: in its partition, and so on."""
    if role.is_job:
        partition = next(
            (RoleArn.parse(each.arn).partition for each in job.roles.values()), "aws"
        )  # roles cannot cross partitions
        return (resolve_for_role(each, partition) for each in permissions)
    arn = RoleArn.parse(role.arn)
    return (resolve_for_role(each, arn.partition, arn.account, role.region) for each in permissions)


def state_prefix(place: StateLocation) -> S3Uri:
    """Where in S3 the state of jobs is: below it each has a folder of its name."""
    location = S3Uri.parse(place.location)
    return location.as_folder()


def _distinct(job: Job) -> Iterator[Role]:
    seen: set[Role] = set()
    state = [job.state.role] if job.state is not None and job.state.role is not None else []
    for role in (*(role for step in job.steps for role in step.roles.values()), *state):
        for each in _chain(role):
            if each not in seen and not each.is_job:
                seen.add(each)
                yield each


def _chain(role: Role) -> list[Role]:
    return ([] if role.via is None else _chain(role.via)) + [role]


def _planned(
    step: Step, job: Job, actions: Mapping[str, type[Action]], predicted: dict[tuple[str, ...], Any]
) -> PlannedStep:
    """``predicted``: what outputs of the steps before will be like, such as the prefix of listed objects; this step's are added."""
    fields = {key: fill_known(value, {"params": job.params}) for key, value in step.fields.items()}
    scope = {"params": job.params, "run": {"name": job.name}}
    needed: dict[str, dict[Permission, None]] = {name: {} for name in step.roles}
    widened: dict[str, None] = {}
    for item in _items(step, scope):
        partial_values = PartialValues({**scope, **item}, predicted)
        action = partial_values.action(actions[step.action], fields)
        if action is not None:
            for name, permissions in _permissions(action, partial_values).items():
                needed.setdefault(name, {}).update((each, None) for each in permissions)
        for said in step.permissions:
            _state(said, partial_values, needed)
        widened.update((each, None) for each in partial_values.notes)
    if action is not None and step.for_each is None:
        predicted.update(
            {("steps", step.id, name): value for name, value in _predict_outputs(action).items()}
        )
    if step.roles and not any(needed.values()):
        widened[UNKNOWN_PERMISSIONS] = None
    roles = {
        name: tuple(
            dict.fromkeys(_under(step.roles[name], job, each) if name in step.roles else each)
        )
        for name, each in needed.items()
    }
    return PlannedStep(
        step, fields, {name: each for name, each in roles.items() if each}, tuple(widened)
    )


def _permissions(
    action: Action, partial_values: PartialValues
) -> Mapping[str, Sequence[Permission]]:
    """What the action says that it needs; nothing, and a note, where its code fails: it may be another package's."""
    try:
        return {name: list(each) for name, each in action.permissions().items()}
    except Exception as error:  # noqa: BLE001
        partial_values.notes.append(
            f"its permissions cannot be told: {as_step_error(error).message}; say 'permissions' on the step"
        )
        return {}


def _predict_outputs(action: Action) -> Mapping[str, Any]:
    try:
        return dict(action.predict_outputs())
    except Exception:  # noqa: BLE001 - as above; later steps then know less
        return {}


def _items(step: Step, scope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each item of a for_each that is known, as a scope; a single empty one where it is not, or where there is none."""
    items = fill_known(step.for_each, scope)
    if isinstance(items, list) and 0 < len(items) <= MAX_ITEMS and not any(iter_templates(items)):
        return [{"item": each} for each in items]
    return [{}]


def _state(
    said: DeclaredPermission,
    partial_values: PartialValues,
    needed: dict[str, dict[Permission, None]],
) -> None:
    """Permissions that the step states. They stand in for those of the same action on everything, which fields could not tell."""
    for name in [said.role_field] if said.role_field else list(needed):
        for action in said.actions:
            for wide in [
                each
                for each in needed[name]
                if each.action == action and each.resource in _EVERYTHING
            ]:
                del needed[name][wide]
            for resource in said.resources:
                needed[name][
                    Permission(
                        action, partial_values.text("permissions", resource), said.condition, "said"
                    )
                ] = None


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as ``rolerunner plan --json`` prints it."""
    return {
        "version": 1,
        "job": plan.job.name,
        "roles": [_role_json(role, plan) for role in plan.roles],
        "steps": [_step_json(planned) for planned in plan.steps],
        **({"state": _state_json(plan.job.state, plan)} if plan.job.state is not None else {}),
    }


def _role_json(role: Role, plan: Plan) -> dict[str, Any]:
    said = {
        "role": str(role),
        "arn": role.arn,
        "via": str(role.via or "job"),
        "duration": role.duration,
        "external_id": bool(role.external_id),
    }
    if role.step:
        said["step"] = role.step
    if role.policy:
        said["session_policy"] = json.loads(role.policy)
        said["notes"] = list(plan.narrowed.get(role, ()))
    return said


def _state_json(state: StateLocation, plan: Plan) -> dict[str, Any]:
    return {
        "location": state.location,
        "role": str(state.role or ""),
        "permissions": [_permission_json(each) for each in plan.state],
    }


def _step_json(planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "id": step.id,
        "action": step.action,
        "roles": {field: str(role) for field, role in step.roles.items()},
        "needs": list(step.needs),
        "on_error": step.on_error,
        "fields": to_plain_json(dict(planned.fields)),
        "permissions": {
            role: [_permission_json(each) for each in needed]
            for role, needed in planned.permissions.items()
        },
        **({"notes": list(planned.notes)} if planned.notes else {}),
    }


def _permission_json(permission: Permission) -> dict[str, Any]:
    condition = render_condition(permission.condition)
    return {
        "action": permission.action,
        "resource": permission.resource,
        **({"condition": condition} if condition else {}),
    }


_SECRET_FIELDS = frozenset({"customer_key"})


def to_plain_json(value: Any) -> Any:
    """A field's value in plain JSON kinds, without secrets."""
    if isinstance(value, dict):
        return {
            key: MASK
            if key in _SECRET_FIELDS and not isinstance(each, Template)
            else to_plain_json(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [to_plain_json(each) for each in value]
    if isinstance(value, Secret):
        return MASK
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
