"""Job -> Plan: the order of steps, the distinct roles, the permissions. Data, made before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolerunner.model import Job, Permission, Plan, PlannedStep, Role, Step
from rolerunner.spec.expressions import Template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.reading import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.actions.base import Action


def make_plan(job: Job, actions: Mapping[str, type[Action]]) -> Plan:
    """What a run of the job will do, in order."""
    return Plan(job, tuple(_planned(step, job, actions) for step in job.steps), tuple(_distinct(job)))


def _distinct(job: Job) -> Iterator[Role]:
    seen: set[Role] = set()
    for step in job.steps:
        for role in step.roles.values():
            for each in _chain(role):
                if each not in seen and not each.is_job:
                    seen.add(each)
                    yield each


def _chain(role: Role) -> list[Role]:
    return ([] if role.via is None else _chain(role.via)) + [role]


def _planned(step: Step, job: Job, actions: Mapping[str, type[Action]]) -> PlannedStep:
    fields = {key: known(value, {"params": job.params}) for key, value in step.fields.items()}
    return PlannedStep(step, fields, _permissions(actions[step.action], fields))


def known(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every template filled in that can be; the others stay."""
    if isinstance(value, Template):
        try:
            return fill(value, scope)
        except ExpressionError:
            return value
    if isinstance(value, dict):
        return {key: known(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [known(each, scope) for each in value]
    return value


def _permissions(action: type[Action], fields: Mapping[str, Any]) -> Mapping[str, tuple[Permission, ...]]:
    """What the step needs; what is not known before the run stands as ``*`` in resources, and lists as nothing."""
    values = {key: _widened(value) for key, value in fields.items()}
    for _ in range(2):
        try:
            return {role: tuple(needed) for role, needed in action.model_validate(values).permissions().items()}
        except ValidationError as error:  # '*' is text; where a list is meant, an empty one will do
            wrong = {detail["loc"][0] for detail in error.errors(include_url=False) if detail["loc"]}
            values = {key: [] if key in wrong else value for key, value in values.items()}
    return {}


def _widened(value: Any) -> Any:
    if isinstance(value, Template):
        return "".join(part if isinstance(part, str) else "*" for part in value.parts)
    if isinstance(value, dict):
        return {key: _widened(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_widened(each) for each in value]
    return value


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as ``rolerunner plan --json`` prints it."""
    return {
        "version": 1,
        "job": plan.job.name,
        "roles": [
            {"role": str(role), "arn": role.arn, "via": str(role.via or "job"), "duration": role.duration, "external_id": bool(role.external_id)}
            for role in plan.roles
        ],
        "steps": [_step_json(planned) for planned in plan.steps],
    }


def _step_json(planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "id": step.id,
        "action": step.action,
        "roles": {field: str(role) for field, role in step.roles.items()},
        "needs": list(step.needs),
        "on_error": step.on_error,
        "fields": {key: plain(value) for key, value in planned.fields.items()},
        "permissions": {role: [_permission_json(each) for each in needed] for role, needed in planned.permissions.items()},
    }


def _permission_json(permission: Permission) -> dict[str, Any]:
    condition = {operator: {key: list(values)} for operator, key, values in permission.condition}
    return {"action": permission.action, "resource": permission.resource, **({"condition": condition} if condition else {})}


def plain(value: Any) -> Any:
    """A field's value in plain JSON kinds."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
