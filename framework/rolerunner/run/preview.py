"""Finds what a run would work on, by reading alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rolerunner.actions.listed_objects import read_listed_objects
from rolerunner.actions.object_plans import plan_step_objects
from rolerunner.common.failures import as_step_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.plan.live_values import sum_items
from rolerunner.plan.step_planning import list_item_scopes
from rolerunner.run.attempts import StepAttempts
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.item_roles import bind_roles
from rolerunner.run.scope import build_scope
from rolerunner.spec.nested_templates import iter_templates

if TYPE_CHECKING:
    from rolerunner.model import Plan, Step


_UNKNOWN_ITEMS = "its items are known only during the run"
_UNKNOWN_OUTPUTS = "it depends on the outputs of earlier steps"


class _WriteError(Exception):
    """The lines cannot be written, which is no failure of a step."""


@dataclass(frozen=True)
class _Part:
    """A step for one of its items, or as a whole if it has none."""

    step: Step
    scope: Mapping[str, Any]
    item: str = ""
    """The label of the item."""


def preview_steps(plan: Plan, environment: RunEnvironment) -> dict[str, Mapping[str, Any]]:
    """Returns, for each step, the objects and bytes that it would work on now.

    A step that runs for known items has their sums, and the values of each under ``items``.
    """
    shared = RunContext("survey", plan.job.params, environment, 1, lambda _: None)
    scope = build_scope(plan.job, "survey", datetime.now(timezone.utc))
    secrets = {("params", secret.source.param) for secret in plan.secrets}
    return {
        step.id: _explain_secret(step, secrets) or _preview_parts(parts, shared)
        for step, parts in _list_parts(plan, scope)
    }


def _list_parts(plan: Plan, scope: Mapping[str, Any]) -> Iterator[tuple[Step, list[_Part]]]:
    """Yields each step with an action, and its parts; none if its items are not known."""
    for top in plan.job.steps:
        items = list_item_scopes(top, scope)
        is_known = all(label for _, label in items)
        for step in top.steps or (top,):
            once = replace(step, for_each=None)
            if top.for_each is None:
                yield step, [_Part(step, scope)]
            elif is_known:
                yield step, [_Part(once, {**scope, **item}, label) for item, label in items]
            else:
                yield step, []


def _preview_parts(parts: Sequence[_Part], run: RunContext) -> Mapping[str, Any]:
    if not parts:
        return {"unknown": _UNKNOWN_ITEMS}
    if not parts[0].item:
        return preview_step(parts[0].step, parts[0].scope, run)
    items = {part.item: preview_step(part.step, part.scope, run) for part in parts}
    return {**sum_items(items), "items": items}


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
    secrets = {("params", secret.source.param) for secret in plan.secrets}
    for step, parts in _list_parts(plan, scope):
        lines = _ObjectLines(step, write)
        hidden = _explain_secret(step, secrets)
        try:
            if hidden or not parts:
                reason = hidden.get("unknown", _UNKNOWN_ITEMS)
                lines.add({"does": "unknown", "reason": reason})
            else:
                for part in parts:
                    lines.preview(part, shared)
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

    def preview(self, part: _Part, run: RunContext) -> None:
        """Writes the lines of a part; one that would fail has a line with the reason."""
        if part.step.references:
            self.add({"does": "unknown", "reason": _UNKNOWN_OUTPUTS}, part.item)
            return
        try:
            attempts = _prepare_attempts(part.step, part.scope, run)
            context = attempts.build_context(run.environment.cancel)
            action = read_listed_objects(attempts.build_action(), context)
            plan_step_objects(action, context, lambda each: self.add(each.as_json(), part.item))
        except (KeyboardInterrupt, _WriteError):
            raise
        except BaseException as error:  # noqa: BLE001 - as in preview_step
            self.add({"does": "fail", "reason": as_step_error(error).message}, part.item)

    def add(self, line: Mapping[str, Any], item: str = "") -> None:
        """Writes a line."""
        self.counts[line["does"]] = self.counts.get(line["does"], 0) + 1
        named = {"item": item} if item else {}
        try:
            self.write({"step": self.step.id, **named, "action": self.step.action, **line})
        except OSError as error:
            raise _WriteError(error) from error


def preview_step(step: Step, scope: Mapping[str, Any], run: RunContext) -> Mapping[str, Any]:
    """Returns what the step would work on now, or the reason under ``unknown``.

    The scope of a step that runs for items has the item.
    """
    if step.references:
        return {"unknown": _UNKNOWN_OUTPUTS}
    try:
        attempts = _prepare_attempts(step, scope, run)
        context = attempts.build_context(run.environment.cancel)
        return read_listed_objects(attempts.build_action(), context).survey(context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin's code may raise anything
        return {"unknown": as_step_error(error).message}


def _prepare_attempts(step: Step, scope: Mapping[str, Any], run: RunContext) -> StepAttempts:
    """Returns the attempts of a step under the roles of its item. Raises FieldError."""
    return StepAttempts(bind_roles(step, lambda: scope), scope, run, run.environment.workdir)
