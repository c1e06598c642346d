"""Builds the plan of a job: steps in order, distinct roles and permissions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rolerunner.actions.objects_from import ObjectsFrom
from rolerunner.actions.permissions import (
    list_permission,
    object_permission,
    source_permissions,
)
from rolerunner.iam.actions_table import (
    derive_secret_permissions,
    render_condition,
    resolve_for_role,
)
from rolerunner.iam.session_policies import apply_session_policies, collect_uses
from rolerunner.model import (
    JOB,
    DeclaredPermission,
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
"""Maximum number of for_each items with permissions of their own.

The permissions of more items are derived together, with ``*`` for the item.
"""
_ALL_RESOURCES = frozenset({"*", "arn:aws:s3:::*", "arn:aws:s3:::*/*"})


def make_plan(job: Job, actions: Mapping[str, type[Action]]) -> Plan:
    """Returns what a run of the job does, in order."""
    predicted: dict[tuple[str, ...], Any] = {}
    steps = tuple(_plan_step(step, job, actions, predicted) for step in job.steps)
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


def list_fetched_secrets(job: Job) -> list[SecretSource]:
    """Returns the sources of the secret params whose values are not given."""
    return [source for source in job.secret_sources if source.param not in job.params]


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
    steps = (role for step in job.steps for role in step.roles.values())
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


def _plan_step(
    step: Step, job: Job, actions: Mapping[str, type[Action]], predicted: dict[tuple[str, ...], Any]
) -> PlannedStep:
    """Plans a step.

    ``predicted`` has values like the outputs of earlier steps, such as the prefix of listed
    objects; this step's are added.
    """
    fields = {key: fill_known(value, {"params": job.params}) for key, value in step.fields.items()}
    scope = {"params": job.params, "run": {"name": job.name}}
    needed: dict[str, dict[Permission, None]] = {name: {} for name in step.roles}
    widened: dict[str, None] = {}
    fetched = frozenset(source.param for source in list_fetched_secrets(job))
    for item in _list_scopes(step, scope):
        partial_values = PartialValues({**scope, **item}, predicted, fetched)
        action = partial_values.build_action(actions[step.action], fields)
        if action is not None:
            action, listed = _predict_objects(action, partial_values)
            for name, permissions in (
                *_derive_permissions(action, partial_values).items(),
                *listed.items(),
            ):
                needed.setdefault(name, {}).update((each, None) for each in permissions)
        for declared in step.permissions:
            _add_declared(declared, partial_values, needed)
        widened.update((each, None) for each in partial_values.notes)
    if action is not None and step.for_each is None:
        predicted.update(
            {("steps", step.id, name): value for name, value in _predict_outputs(action).items()}
        )
    if step.roles and not any(needed.values()):
        widened[UNKNOWN_PERMISSIONS] = None
    roles = {
        name: tuple(
            dict.fromkeys(
                _scope_to_role(step.roles[name], job, each) if name in step.roles else each
            )
        )
        for name, each in needed.items()
    }
    return PlannedStep(
        step, fields, {name: each for name, each in roles.items() if each}, tuple(widened)
    )


def _predict_objects(
    action: Action, partial_values: PartialValues
) -> tuple[Action, Mapping[str, Sequence[Permission]]]:
    """Returns the action with a list that stands for that of a file, and what reading it needs."""
    listing = getattr(action, "objects", None)
    if not isinstance(listing, ObjectsFrom):
        return action, {}
    if listing.prefix is None:
        partial_values.notes.append(
            "objects: the listed objects are known only during the run; permissions are for all;"
            " set 'prefix' to narrow them"
        )
    objects = listing.predict()
    needed = {"objects.role": listing.permissions()}
    if objects.is_bare and action.looks_up_objects:
        looked_up = replace(objects, versions=False)
        needed[action.role_fields[0]] = source_permissions("s3:GetObject", None, looked_up)
    return action.model_copy(update={"objects": objects}), needed


def _derive_permissions(
    action: Action, partial_values: PartialValues
) -> Mapping[str, Sequence[Permission]]:
    """Returns the action's permissions; none, with a note, if its code fails.

    The action may be that of another package.
    """
    try:
        return {name: list(each) for name, each in action.permissions().items()}
    except Exception as error:  # noqa: BLE001
        partial_values.note_failure(error)
        return {}


def _predict_outputs(action: Action) -> Mapping[str, Any]:
    try:
        return dict(action.predict_outputs())
    except Exception:  # noqa: BLE001 - as above; later steps then know less
        return {}


def _list_scopes(step: Step, scope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a scope for each known item of for_each; else one empty scope."""
    items = fill_known(step.for_each, scope)
    if isinstance(items, list) and 0 < len(items) <= MAX_ITEMS and not any(iter_templates(items)):
        return [{"item": each} for each in items]
    return [{}]


def _add_declared(
    declared: DeclaredPermission,
    partial_values: PartialValues,
    needed: dict[str, dict[Permission, None]],
) -> None:
    """Adds a declared permission, which replaces those of the same action on all resources."""
    for name in [declared.role_field] if declared.role_field else list(needed):
        for action in declared.actions:
            for wide in [
                each
                for each in needed[name]
                if each.action == action and each.resource in _ALL_RESOURCES
            ]:
                del needed[name][wide]
            for resource in declared.resources:
                needed[name][
                    Permission(
                        action,
                        partial_values.widen_text("permissions", resource),
                        declared.condition,
                        "said",
                    )
                ] = None


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
