"""Finds what a run would work on, by reading alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rolerunner.actions.listed_objects import read_listed_objects
from rolerunner.common.failures import as_step_error
from rolerunner.run.attempts import StepAttempts
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.scope import build_scope
from rolerunner.spec.reader import iter_templates

if TYPE_CHECKING:
    from rolerunner.model import Plan, Step


def preview_steps(plan: Plan, environment: RunEnvironment) -> dict[str, Mapping[str, Any]]:
    """Returns, for each step, the objects and bytes that it would work on now."""
    shared = RunContext("survey", plan.job.params, environment, 1, lambda _: None)
    scope = build_scope(plan.job, "survey", datetime.now(timezone.utc))
    steps = plan.job.steps
    looped = {"unknown": "it runs for each item of its group"}
    secrets = {("params", secret.source.param) for secret in plan.secrets}
    found = {
        step.id: _explain_secret(step, secrets) or preview_step(step, scope, shared)
        for step in steps
        if not step.steps
    }
    return {**found, **{inner.id: looped for step in steps for inner in step.steps}}


def _explain_secret(step: Step, secrets: Collection[tuple[str, ...]]) -> Mapping[str, Any]:
    """Returns the reason of a step that reads a secret which a run fetches; empty for others."""
    for _, template in iter_templates(dict(step.fields)) if secrets else ():
        for reference in template.references:
            if reference.path[:2] in secrets:
                return {"unknown": f"it depends on '{reference}', which only a run fetches"}
    return {}


def preview_step(step: Step, scope: Mapping[str, Any], run: RunContext) -> Mapping[str, Any]:
    """Returns what the step would work on now, or the reason under ``unknown``."""
    if step.for_each is not None or step.references:
        return {"unknown": "it depends on the outputs of earlier steps"}
    attempts = StepAttempts(step, scope, run, run.environment.workdir)
    try:
        context = attempts.build_context(run.environment.cancel)
        return read_listed_objects(attempts.build_action(), context).survey(context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin's code may raise anything
        return {"unknown": as_step_error(error).message}
