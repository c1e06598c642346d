"""Job -> Plan: the order of steps, the distinct roles, the permissions. Data, made before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from pydantic import ValidationError

from rolerunner.actions.permissions import listing, on_objects
from rolerunner.model import Job, Permission, Plan, PlannedStep, Role, S3Uri, StatePlace, Step
from rolerunner.secret import MASK
from rolerunner.spec.expressions import Template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.reading import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.actions.base import Action


def make_plan(job: Job, actions: Mapping[str, type[Action]]) -> Plan:
    """What a run of the job will do, in order."""
    foreseen: dict[tuple[str, ...], Any] = {}
    return Plan(job, tuple(_planned(step, job, actions, foreseen) for step in job.steps), tuple(_distinct(job)), tuple(_of_state(job)))


def _of_state(job: Job) -> Iterator[Permission]:
    """What the state's role needs: documents are read, listed for (a missing one is a 404 only then) and written."""
    if job.state is not None and job.state.role is not None:
        prefix = state_folder(job.state).join(f"{job.name}/")
        yield listing(prefix)
        yield from (on_objects(action, prefix) for action in ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"))


def state_folder(place: StatePlace) -> S3Uri:
    """Where in S3 the state of jobs is: below it each has a folder of its name."""
    location = S3Uri.parse(place.location)
    return location if location.is_prefix else location.join("/")


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


def _planned(step: Step, job: Job, actions: Mapping[str, type[Action]], foreseen: dict[tuple[str, ...], Any]) -> PlannedStep:
    """``foreseen``: what outputs of the steps before will be like, such as the prefix of listed objects; this step's are added."""
    fields = {key: known(value, {"params": job.params}) for key, value in step.fields.items()}
    action = _widened_action(actions[step.action], fields, foreseen)
    if action is None:
        return PlannedStep(step, fields, {})
    if step.for_each is None:
        foreseen.update({("steps", step.id, name): value for name, value in action.foreseen().items()})
    return PlannedStep(step, fields, {role: tuple(dict.fromkeys(needed)) for role, needed in action.permissions().items()})


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


def _widened_action(action: type[Action], fields: Mapping[str, Any], foreseen: Mapping[tuple[str, ...], Any]) -> Optional[Action]:
    """The action, with ``*`` for what is not known before the run, and nothing for lists that are not known."""
    values = {key: _widened(value, foreseen) for key, value in fields.items()}
    for _ in range(2):
        try:
            return action.model_validate(values)
        except ValidationError as error:  # '*' is text; where a list is meant, an empty one will do
            wrong = {detail["loc"][0] for detail in error.errors(include_url=False) if detail["loc"]}
            values = {key: [] if key in wrong else value for key, value in values.items()}
    return None


def _widened(value: Any, foreseen: Mapping[tuple[str, ...], Any]) -> Any:
    if isinstance(value, Template):
        if value.name is not None and value.name.path in foreseen:
            return foreseen[value.name.path]
        return "".join(part if isinstance(part, str) else "*" for part in value.parts)
    if isinstance(value, dict):
        return {key: _widened(each, foreseen) for key, each in value.items()}
    if isinstance(value, list):
        return [_widened(each, foreseen) for each in value]
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
        **({"state": _state_json(plan.job.state, plan)} if plan.job.state is not None else {}),
    }


def _state_json(state: StatePlace, plan: Plan) -> dict[str, Any]:
    return {"location": state.location, "role": str(state.role or ""), "permissions": [_permission_json(each) for each in plan.state]}


def _step_json(planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "id": step.id,
        "action": step.action,
        "roles": {field: str(role) for field, role in step.roles.items()},
        "needs": list(step.needs),
        "on_error": step.on_error,
        "fields": plain(dict(planned.fields)),
        "permissions": {role: [_permission_json(each) for each in needed] for role, needed in planned.permissions.items()},
    }


def _permission_json(permission: Permission) -> dict[str, Any]:
    condition = {operator: {key: list(values)} for operator, key, values in permission.condition}
    return {"action": permission.action, "resource": permission.resource, **({"condition": condition} if condition else {})}


_SECRET_FIELDS = frozenset({"customer_key"})


def plain(value: Any) -> Any:
    """A field's value in plain JSON kinds, without secrets."""
    if isinstance(value, dict):
        return {key: MASK if key in _SECRET_FIELDS and not isinstance(each, Template) else plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
