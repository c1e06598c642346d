"""Builds the plan of a job: steps in order, distinct roles and permissions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rolerunner.actions.permissions import (
    list_permission,
    object_permission,
)
from rolerunner.iam.actions_table import (
    derive_secret_permissions,
    render_condition,
    resolve_for_role,
)
from rolerunner.iam.session_policies import apply_session_policies, collect_uses
from rolerunner.model import (
    JOB,
    Job,
    Permission,
    Plan,
    PlannedNotification,
    PlannedSecret,
    PlannedStep,
    Role,
    RoleArn,
    S3Uri,
    SecretSource,
    StateLocation,
)
from rolerunner.plan.step_planning import list_fetched_secrets, plan_step
from rolerunner.redaction.secrets import MASK, Secret
from rolerunner.spec.expressions import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolerunner.actions.base import Action


def make_plan(job: Job, actions: Mapping[str, type[Action]]) -> Plan:
    """Returns what a run of the job does, in order."""
    predicted: dict[tuple[str, ...], Any] = {}
    steps = tuple(
        replace(planned, permissions=_scope_permissions(planned, job))
        for step in job.steps
        for planned in plan_step(step, job, actions, predicted)
    )
    state_role = job.state.role if job.state is not None else None
    state = (
        tuple(_scope_to_role(state_role, job, _list_state_permissions(job)))
        if state_role is not None
        else ()
    )
    secrets = tuple(_plan_secret(source, job) for source in list_fetched_secrets(job))
    notify = _plan_notifications(job)
    uses = collect_uses(steps, state, state_role, secrets, notify)
    plan = apply_session_policies(Plan(job, steps, (), state, uses, secrets=secrets, notify=notify))
    roles = tuple(_iter_roles(plan))
    required = set(_iter_roles(replace(plan, notify=()))) if notify else set(roles)
    return replace(plan, roles=roles, optional_roles=frozenset(roles) - required)


def _plan_secret(source: SecretSource, job: Job) -> PlannedSecret:
    needed = derive_secret_permissions(source)
    return PlannedSecret(source, tuple(_scope_to_role(source.role, job, needed)))


def _plan_notifications(job: Job) -> tuple[PlannedNotification, ...]:
    if not job.notify:
        return ()
    from rolerunner.notifications.permissions import derive_permissions  # noqa: PLC0415

    return tuple(
        PlannedNotification(
            each,
            tuple(_scope_to_role(each.role or JOB, job, derive_permissions(each, job))),
        )
        for each in job.notify
    )


def _list_state_permissions(job: Job) -> Iterator[Permission]:
    """Yields the permissions for reading and writing the state.

    Without the permission to list, S3 answers 403 instead of 404 for a missing document.
    """
    if job.state is not None and job.state.role is not None:
        prefix = state_prefix(job.state).join(f"{job.full_name}/")
        yield list_permission(prefix)
        yield from (
            object_permission(action, prefix)
            for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
        )


def _scope_permissions(planned: PlannedStep, job: Job) -> dict[str, tuple[Permission, ...]]:
    """Returns the permissions of a step, each with the partition, account and region of its role.

    Fields without permissions are left out.
    """
    roles = planned.step.roles
    scoped = {
        name: tuple(
            dict.fromkeys(_scope_to_role(roles[name], job, each) if name in roles else each)
        )
        for name, each in planned.permissions.items()
    }
    return {name: each for name, each in scoped.items() if each}


def _scope_to_role(role: Role, job: Job, permissions: Iterable[Permission]) -> Iterator[Permission]:
    """Returns the permissions with the role's partition, account and region."""
    if role.is_job:
        partition = next(
            (RoleArn.parse(each.arn).partition for each in job.roles.values()), "aws"
        )  # roles cannot cross partitions
        return (resolve_for_role(each, partition) for each in permissions)
    arn = RoleArn.parse(role.arn)
    return (resolve_for_role(each, arn.partition, arn.account, role.region) for each in permissions)


def state_prefix(place: StateLocation) -> S3Uri:
    """Returns the prefix of the state in S3, under which each job has its own folder."""
    location = S3Uri.parse(place.location)
    return location.as_folder()


def _iter_roles(plan: Plan) -> Iterator[Role]:
    seen: set[Role] = set()
    job = plan.job
    state = [job.state.role] if job.state is not None and job.state.role is not None else []
    steps = (role for step in job.steps for role in step.all_roles)
    secrets = (secret.source.role for secret in plan.secrets)
    notify = (each.notification.role for each in plan.notify)
    told = (role for role in notify if role is not None)
    for role in (*steps, *secrets, *state, *told):
        for each in _list_chain(role):
            if each not in seen and not each.is_job:
                seen.add(each)
                yield each


def _list_chain(role: Role) -> list[Role]:
    return ([] if role.via is None else _list_chain(role.via)) + [role]


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Returns the plan as ``rolerunner plan --json`` prints it."""
    return {
        "version": 1,
        "job": plan.job.name,
        **({"environment": plan.job.environment} if plan.job.environment else {}),
        "roles": [_role_json(role, plan) for role in plan.roles],
        **({"secrets": [_secret_json(each) for each in plan.secrets]} if plan.secrets else {}),
        "steps": [_step_json(planned) for planned in plan.steps],
        **({"state": _state_json(plan.job.state, plan)} if plan.job.state is not None else {}),
        **({"notify": list(map(_notify_json, plan.notify))} if plan.notify else {}),
    }


def _role_json(role: Role, plan: Plan) -> dict[str, Any]:
    parts = {
        "role": str(role),
        "arn": role.arn,
        "via": str(role.via or "job"),
        "duration": role.duration,
        "external_id": bool(role.external_id),
    }
    if role.step:
        parts["step"] = role.step
    if role.policy:
        parts["session_policy"] = json.loads(role.policy)
        parts["notes"] = list(plan.narrowed.get(role, ()))
    return parts


def _secret_json(secret: PlannedSecret) -> dict[str, Any]:
    return {
        "param": secret.source.param,
        "from": str(secret.source),
        "role": str(secret.source.role),
        "permissions": [_permission_json(each) for each in secret.permissions],
    }


def _state_json(state: StateLocation, plan: Plan) -> dict[str, Any]:
    return {
        "location": state.location,
        "role": str(state.role or ""),
        "permissions": [_permission_json(each) for each in plan.state],
    }


def _notify_json(planned: PlannedNotification) -> dict[str, Any]:
    notification = planned.notification
    target = MASK if notification.kind == "webhook" else notification.target
    return {
        "on": list(notification.on),
        notification.kind: target,
        **({"role": str(notification.role)} if notification.role is not None else {}),
        "permissions": [_permission_json(each) for each in planned.permissions],
    }


def _step_json(planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "id": step.id,
        "action": step.action,
        "roles": {field: str(role) for field, role in step.roles.items()},
        "needs": list(step.needs),
        "on_error": step.on_error,
        **({"items": list(planned.items)} if planned.items else {}),
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
    """Returns a field's value as JSON types, with secrets masked."""
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
