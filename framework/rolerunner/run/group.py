"""Runs a group: its steps, once for each item, several items side by side.

An item is a small run of the group's steps, by the same rules as the run of the job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional

from rolerunner.common.failures import as_step_error
from rolerunner.common.wording import format_count
from rolerunner.errors import FieldError, StepError
from rolerunner.events import ItemFinished, StepFinished, StepProgress, StepStarted
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure, ItemResult, StepResult
from rolerunner.run.active_run import ActiveRun
from rolerunner.run.group_results import (
    count_allowed_failures,
    find_item_status,
    list_unstarted,
    summarize_group,
)
from rolerunner.run.item_roles import bind_roles
from rolerunner.run.items import ItemPlace, list_items
from rolerunner.run.progress import throttle
from rolerunner.run.results import RunRecord, describe_failure, unstarted_result
from rolerunner.run.resume import NOT_SELECTED, find_unknown_input
from rolerunner.run.scheduler import count_parallel_steps
from rolerunner.run.scope import read_outputs
from rolerunner.run.selection import find_item_mistake
from rolerunner.run.sequence import InlinePool, StepSequence
from rolerunner.run.step_run import run_step
from rolerunner.selection.collisions import ClaimedNames
from rolerunner.step_ids import item_step_id, label_items, label_position, local_name
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.model import Step

MAX_STEPS = 50_000
"""Steps that a group runs for all items together; each keeps a result of about 2 KB."""


def run_group(
    group: Step, scope: Mapping[str, Any], run: ActiveRun, record: RunRecord
) -> StepResult:
    """Runs a group that is to start. Raises no error of its steps.

    ``record`` has the results of the steps before it.
    """
    started = time.monotonic()
    deadline = None if group.timeout is None else started + group.timeout
    is_selected = run.selection.has_part_of(group.id)
    if not is_selected and not run.state.has_step(group.id):
        return unstarted_result(group, "skipped", reason=NOT_SELECTED)
    run.context.notify(StepStarted(group, ""))
    try:
        items = list_items(group, scope)
        _check_size(group, len(items))
        labels = label_items(items)
        _check_selected(group, labels, run)
        repeated = frozenset(need for need in group.needs if need in record.repeated)
        with ExitStack() as stack:
            claims = {
                local_name(step.id): stack.enter_context(closing(ClaimedNames()))
                for step in group.steps
            }
            counts = _Counts(len(items), count_allowed_failures(group, len(items)))
            notify = throttle(run.context.notify)
            loop = _GroupLoop(group, scope, run, repeated, claims, counts, deadline, notify)
            results = loop.execute(items, labels)
        run.state.flush()
        result = summarize_group(group, results, run.context.environment.actions)
    except BaseException as raised:  # noqa: BLE001 - whatever is raised ends this group alone
        failure = describe_failure(run.state.explain_stop(as_step_error(raised)))
        result = unstarted_result(group, "failed", failure)
    return replace(result, seconds=round(time.monotonic() - started, 3))


def _check_size(group: Step, count: int) -> None:
    """Raises FieldError for more steps than results of them fit into memory."""
    steps = count * len(group.steps)
    if steps > MAX_STEPS:
        inner = format_count(len(group.steps), "step")
        message = f"{count:,} items with {inner} each are {steps:,} steps"
        hint = "pass lists of objects to an action's 'objects', or use fewer items"
        raise FieldError(f"{group.mark}: {message}; the limit is {MAX_STEPS:,}", hint=hint)


def _check_selected(group: Step, labels: Sequence[str], run: ActiveRun) -> None:
    """Raises FieldError if an item was selected that the group does not have."""
    for name in run.selection.list_items(group.id):
        message, hint = find_item_mistake(group, name, labels)
        if message:
            raise FieldError(message, hint=hint)


@dataclass
class _Counts:
    """Counts the items that have ended. Several threads count."""

    total: int
    most_failures: int
    ended: int = 0
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: str) -> int:
        """Counts an item. Returns how many have ended."""
        with self.lock:
            self.ended += 1
            self.failed += status == "failed"
            return self.ended

    @property
    def has_failed(self) -> bool:
        """True if more items failed than may."""
        return self.failed > self.most_failures


@dataclass(frozen=True)
class _GroupLoop:
    """Runs the items of a group side by side; too many failures keep others from starting."""

    group: Step
    scope: Mapping[str, Any]
    run: ActiveRun
    repeated: frozenset[str]
    """Ids of the steps outside that the group needs and that this run started."""
    claims: Mapping[str, ClaimedNames]
    """Name of a step -> the targets that its items have claimed."""
    counts: _Counts
    deadline: Optional[float]
    notify_progress: Callable[[StepProgress], None]

    def execute(self, items: Sequence[Any], labels: Sequence[str]) -> list[ItemResult]:
        """Returns the results of the items, in their order."""
        self._notify_progress(0)
        limit = self.group.max_parallel or self.run.context.max_parallel
        with ThreadPool(limit, thread_name_prefix="rolerunner-item") as pool:
            return list(pool.map(self._run_item, range(len(items)), items, labels))

    def _run_item(self, number: int, item: Any, label: str) -> ItemResult:
        started = time.monotonic()
        steps = _bind_item(self.group, label, {**self.scope, "item": item})
        if self.counts.has_failed:
            results = list_unstarted(steps)
            for result in results:
                self.run.context.notify(StepFinished(result))
        else:
            results = self._run_steps(number, item, label, steps)
        status = find_item_status(steps, results)
        seconds = time.monotonic() - started
        self.run.context.notify(
            ItemFinished(self.group.id, label, status, seconds, is_of_group=True)
        )
        self._notify_progress(self.counts.add(status))
        return ItemResult(label, status, results)

    def _notify_progress(self, ended: int) -> None:
        self.notify_progress(StepProgress(self.group.id, ended, 0, self.counts.total, unit="item"))

    def _run_steps(
        self, number: int, item: Any, label: str, steps: Sequence[Step]
    ) -> tuple[StepResult, ...]:
        """Runs the steps for an item."""
        record = RunRecord(repeated=set(self.repeated))
        limit = count_parallel_steps(steps, self.run.context.max_parallel)
        sequence = StepSequence(
            steps,
            self.run,
            record,
            partial(self._read_scope, item, record),
            partial(self._execute_step, number),
            limit,
            _find_other_names(self.group, number, label),
        )
        if limit == 1:
            sequence.run_steps(InlinePool())
        else:
            with ThreadPool(limit, thread_name_prefix="rolerunner-step") as pool:
                sequence.run_steps(pool)
        return tuple(record.results[step.id] for step in steps)

    def _read_scope(self, item: Any, record: RunRecord, step: Step) -> dict[str, Any]:
        """Returns what the group can read, with the item and the steps of the same item."""
        run = self.scope["run"]
        outputs = {**self.scope["steps"], **read_outputs(step, record.results)}
        error = record.error or run["error"]
        return {**self.scope, "item": item, "steps": outputs, "run": {**run, "error": error}}

    def _execute_step(
        self, number: int, step: Step, scope: Mapping[str, Any], record: RunRecord
    ) -> StepResult:
        """Runs a step for the item with this number, within the time of the group."""
        obstacle = find_unknown_input(step, record) or self._find_timeout()
        if obstacle is not None:
            return unstarted_result(step, "failed", obstacle)
        if self.deadline is not None:
            left = max(self.deadline - time.monotonic(), 0)
            step = replace(step, timeout=left if step.timeout is None else min(step.timeout, left))
        claims = self.claims[local_name(step.id)]
        place = ItemPlace.of(self.group.id, number, self.run.context, claims)
        return run_step(step, scope, self.run.context, self.run.state, place)

    def _find_timeout(self) -> Optional[Failure]:
        if self.deadline is None or time.monotonic() < self.deadline:
            return None
        message = f"the group was not done within {self.group.timeout:.2g} s"
        return Failure("Timeout", message, "raise its 'timeout', or give it fewer items")


def _bind_item(group: Step, label: str, scope: Mapping[str, Any]) -> tuple[Step, ...]:
    """Returns the steps of a group with their ids and roles for an item.

    The first ones need what the group needs, so that they run again where that did.
    """
    ids = {step.id: item_step_id(step.id, label) for step in group.steps}
    return tuple(
        replace(
            _bind_known_roles(step, scope),
            id=ids[step.id],
            needs=tuple(ids[need] for need in step.needs) or group.needs,
            references=frozenset(ids.get(each, each) for each in step.references),
        )
        for step in group.steps
    )


def _bind_known_roles(step: Step, scope: Mapping[str, Any]) -> Step:
    """Returns the step under its roles; unchanged if it has wrong ones, which fail it later."""
    try:
        return bind_roles(step, lambda: scope)
    except StepError:
        return step


def _find_other_names(group: Step, number: int, label: str) -> dict[str, str]:
    """Returns step id -> the id with the item's position, by which it may be selected, too."""
    position = label_position(number)
    if position == label:
        return {}
    ids = [step.id for step in group.steps]
    return {item_step_id(each, label): item_step_id(each, position) for each in ids}
