"""Finds what a run would work on, by reading alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rolerunner.actions.listed_objects import read_listed_objects
from rolerunner.actions.object_plans import plan_step_objects
from rolerunner.common.failures import as_step_error
from rolerunner.run.attempts import StepAttempts
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.scope import build_scope
from rolerunner.spec.reader import iter_templates

if TYPE_CHECKING:
    from rolerunner.model import Plan, Step


class _WriteError(Exception):
    """The lines cannot be written, which is no failure of a step."""


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


def preview_objects(
    plan: Plan, environment: RunEnvironment, write: Callable[[Mapping[str, Any]], object]
) -> dict[str, Mapping[str, Any]]:
    """Writes a line for each object that the steps would work on now; returns counts by step.

    A step whose objects are not known has one line with the reason.
    """
    shared = RunContext("survey", plan.job.params, environment, 1, lambda _: None)
    scope = build_scope(plan.job, "survey", datetime.now(timezone.utc))
    counts: dict[str, Mapping[str, Any]] = {}
    inner = {each.id for step in plan.job.steps for each in step.steps}
    secrets = {("params", secret.source.param) for secret in plan.secrets}
    for step in plan.job.action_steps:
        lines = _ObjectLines(step, write)
        try:
            hidden = _explain_secret(step, secrets)
            if step.id in inner:
                lines.add({"does": "unknown", "reason": "it runs for each item of its group"})
            elif hidden:
                lines.add({"does": "unknown", "reason": hidden["unknown"]})
            else:
                lines.preview(scope, shared)
        except _WriteError as error:
            raise error.args[0] from None
        counts[step.id] = lines.counts
    return counts


@dataclass
class _ObjectLines:
    """The lines of one step, counted by what would be done."""

    step: Step
    write: Callable[[Mapping[str, Any]], object]
    counts: dict[str, int] = field(default_factory=dict)

    def preview(self, scope: Mapping[str, Any], run: RunContext) -> None:
        """Writes the lines of the step; one that would fail has a line with the reason."""
        if self.step.for_each is not None or self.step.references:
            self.add({"does": "unknown", "reason": "it depends on the outputs of earlier steps"})
            return
        attempts = StepAttempts(self.step, scope, run, run.environment.workdir)
        try:
            context = attempts.build_context(run.environment.cancel)
            action = read_listed_objects(attempts.build_action(), context)
            plan_step_objects(action, context, lambda each: self.add(each.as_json()))
        except (KeyboardInterrupt, _WriteError):
            raise
        except BaseException as error:  # noqa: BLE001 - as in preview_step
            self.add({"does": "fail", "reason": as_step_error(error).message})

    def add(self, line: Mapping[str, Any]) -> None:
        """Writes a line."""
        self.counts[line["does"]] = self.counts.get(line["does"], 0) + 1
        try:
            self.write({"step": self.step.id, "action": self.step.action, **line})
        except OSError as error:
            raise _WriteError(error) from error


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
