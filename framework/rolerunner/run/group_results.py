"""Adds up the results of the items of a group."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.wording import format_count
from rolerunner.model import Failure, ItemResult, StepResult
from rolerunner.run.results import unstarted_result
from rolerunner.step_ids import local_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolerunner.actions.base import Action
    from rolerunner.model import Step, StepStatus

_NAMED_FAILURES = 3
"""Number of failed items that a message names."""


def count_allowed_failures(group: Step, total: int) -> int:
    """Returns how many of ``total`` items may fail."""
    limit = group.max_failures
    return total * int(limit[:-1]) // 100 if isinstance(limit, str) else limit


def list_unstarted(steps: Iterable[Step]) -> tuple[StepResult, ...]:
    """Returns the results of an item that did not start."""
    return tuple(unstarted_result(step, "not_run") for step in steps)


def find_item_status(steps: Sequence[Step], results: Sequence[StepResult]) -> StepStatus:
    """Returns the status of an item whose steps have ended."""
    statuses = [result.status for result in results]
    failing = [step.on_error == "fail" for step in steps]
    if any(status == "failed" and fails for status, fails in zip(statuses, failing)):
        return "failed"
    if "not_run" in statuses:
        return "not_run"
    if "failed" in statuses or "warning" in statuses:
        return "warning"
    return "skipped" if set(statuses) == {"skipped"} else "succeeded"


def summarize_group(
    group: Step, items: Sequence[ItemResult], actions: Mapping[str, type[Action]]
) -> StepResult:
    """Returns the result of a group whose items have ended, without its time."""
    status = _find_status(group, items)
    steps = [step for item in items for step in item.steps]
    result = StepResult(
        group.id,
        group.action,
        "",
        status,
        max((step.attempts for step in steps), default=1),
        outputs=_collect_outputs(group, items, actions),
        error=_describe_failures(items),
        items=tuple(items),
    )
    return _describe_skipped(result, steps) if status == "skipped" else result


def _find_status(group: Step, items: Sequence[ItemResult]) -> StepStatus:
    statuses = [item.status for item in items]
    failures = statuses.count("failed")
    if failures > count_allowed_failures(group, len(items)) or "not_run" in statuses:
        return "failed"
    if failures or "warning" in statuses:
        return "warning"
    return "skipped" if items and set(statuses) == {"skipped"} else "succeeded"


def _collect_outputs(
    group: Step, items: Sequence[ItemResult], actions: Mapping[str, type[Action]]
) -> dict[str, Any]:
    """Returns step -> output -> the values of all items, None for an item without the output."""
    collected = {}
    for position, step in enumerate(group.steps):
        results = [item.steps[position] for item in items]
        known = actions[step.action].outputs or ()
        found = dict.fromkeys([*known, *(name for each in results for name in each.outputs)])
        names = found or step.read_outputs
        collected[local_name(step.id)] = {
            **{name: [each.outputs.get(name) for each in results] for name in names},
            "status": [each.was or each.status for each in results],
        }
    return collected


def _describe_failures(items: Sequence[ItemResult]) -> Optional[Failure]:
    """Returns why items failed, warn or did not run; None if all is well."""
    failed = [item for item in items if item.status == "failed"]
    if failed:
        first = [_find_error(item) for item in failed[:_NAMED_FAILURES]]
        reasons = "; ".join(f"{step}: {error.message}" for step, error in first)
        more = len(failed) - len(first)
        rest = f"; and {more:,} more" if more else ""
        message = f"{len(failed):,} of {format_count(len(items), 'item')} failed: {reasons}{rest}"
        return Failure(first[0][1].type, message, first[0][1].hint)
    unfinished = [item for item in items if item.status in ("not_run", "warning")]
    if not unfinished:
        return None
    step, error = _find_error(unfinished[0])
    if unfinished[0].status == "not_run":
        return Failure(error.type, f"not all items were done: {step}: {error.message}", error.hint)
    count = format_count(len(unfinished), "item")
    return Failure(error.type, f"{count} with warnings: {step}: {error.message}", error.hint)


def _find_error(item: ItemResult) -> tuple[str, Failure]:
    """Returns the first step of an item that has an error, and the error."""
    failed = [step for step in item.steps if step.status == item.status] or item.steps
    for step in (*failed, *item.steps):
        if step.error is not None:
            return step.id, step.error
    return failed[0].id, Failure("Stopped", "stopped before it was done")


def _describe_skipped(result: StepResult, steps: Sequence[StepResult]) -> StepResult:
    """Returns the result with the reason that its steps have, and their status in earlier runs."""
    before = {step.was for step in steps}
    was: StepStatus = "warning" if "warning" in before else "succeeded"
    return replace(result, reason=steps[0].reason, was="" if "" in before else was)
