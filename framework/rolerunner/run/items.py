"""Runs a step: once, or for each item of ``for_each``."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.json_values import safe_text
from rolerunner.errors import FieldError, StepError
from rolerunner.events import ItemFinished
from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.sealing import has_secret_value
from rolerunner.run.attempts import CompletedWork, StepAttempts
from rolerunner.run.environment import RunContext
from rolerunner.run.inputs import resolve_templates
from rolerunner.run.item_roles import bind_roles
from rolerunner.run.progress import ItemsProgress
from rolerunner.run.results import describe_failure
from rolerunner.selection.collisions import ClaimedNames
from rolerunner.selection.manifest import ObjectList
from rolerunner.step_ids import label_items
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rolerunner.model import Failure, Step, StepStatus

MAX_ITEMS = 100_000
"""Most items of a step. Larger sets of objects belong in one action's ``objects``."""
_MAX_SHOWN = 300
"""Characters of an item shown in its failure."""


def execute_step(
    step: Step,
    scope: Mapping[str, Any],
    run: RunContext,
    *,
    is_resumed: bool = False,
    place: Optional[ItemPlace] = None,
) -> CompletedWork:
    """Runs a step and returns what it produced. Raises StepError.

    ``is_resumed`` is True if an earlier run may have done a part of it. ``place`` is that of the
    item, for a step inside a group.
    """
    deadline = None if step.timeout is None else time.monotonic() + step.timeout
    if step.for_each is None:
        at = place or ItemPlace(run.environment.workdir)
        attempts = StepAttempts(
            step, scope, run, at.workdir, deadline, is_resumed, target_claims=at.claims
        )
        return attempts.execute()
    with closing(ClaimedNames()) as claims:
        items = list_items(step, scope)
        progress = ItemsProgress(step.id, len(items), run.notify)
        loop = _ItemLoop(
            step, scope, run, deadline, is_resumed, claims, threading.Event(), progress
        )
        completed = loop.execute(items)
        known = run.environment.actions[step.action].outputs
        return _merge_items(completed, step.read_outputs if known is None else known)


@dataclass(frozen=True)
class ItemPlace:
    """The place of a step for one item: its folder, and the targets that items claim."""

    workdir: Path
    claims: Optional[ClaimedNames] = None

    @classmethod
    def of(cls, loop_id: str, number: int, run: RunContext, claims: ClaimedNames) -> ItemPlace:
        """Returns the place of an item of a step or group."""
        return cls(run.environment.workdir / f"{loop_id}.items" / str(number), claims)


@dataclass(frozen=True)
class _ItemLoop:
    """Runs the items of one step side by side; the first failure keeps others from starting."""

    step: Step
    scope: Mapping[str, Any]
    run: RunContext
    deadline: Optional[float]
    is_resumed: bool
    claims: ClaimedNames
    failed: threading.Event
    progress: ItemsProgress

    def execute(self, items: Sequence[Any]) -> list[CompletedWork]:
        labels = label_items(items)
        limit = self.step.max_parallel or self.run.max_parallel
        with ThreadPool(limit, thread_name_prefix="rolerunner-item") as pool:
            completed = pool.map(self._execute_item, range(len(items)), items, labels)
            return [each for each in completed if each is not None]

    def _execute_item(self, number: int, item: Any, label: str) -> Optional[CompletedWork]:
        if self.failed.is_set():
            return None
        environment = self.run.environment
        if environment.cancel.is_set():
            raise StepError("stopped before all items were done", type="Stopped")
        started = time.monotonic()
        scope = {**self.scope, "item": item}
        place = ItemPlace.of(self.step.id, number, self.run, self.claims)
        try:
            attempts = StepAttempts(
                bind_roles(self.step, lambda: scope),
                scope,
                self.run,
                place.workdir,
                self.deadline,
                self.is_resumed,
                target_claims=self.claims,
                notify_progress=partial(self.progress.update, number),
            )
            completed = attempts.execute()
        except StepError as error:
            self.failed.set()
            self._notify_end(label, "failed", started, describe_failure(error))
            raise _name_item(error, number, item) from error
        self._notify_end(label, "warning" if completed.warning else "succeeded", started)
        return completed

    def _notify_end(
        self, label: str, status: StepStatus, started: float, failure: Optional[Failure] = None
    ) -> None:
        seconds = time.monotonic() - started
        self.run.notify(ItemFinished(self.step.id, label, status, seconds, failure))
        self.progress.end_item()


def list_items(step: Step, scope: Mapping[str, Any]) -> list[Any]:
    """Returns the items of a step or group. Raises FieldError."""
    items = resolve_templates(step, step.for_each, scope)
    if has_secret_value(items):
        hint = "loop over names that are not secret, and read the secrets in the step"
        raise FieldError(f"{step.mark}: 'for_each' must not loop over secrets", hint=hint)
    if isinstance(items, ObjectList):
        if items.count > MAX_ITEMS:
            message = f"for_each over {items.count:,} objects; the limit is {MAX_ITEMS:,}"
            hint = "pass the list to an action's 'objects'"
            raise FieldError(f"{step.mark}: {message}", hint=hint)
        return [items.describe(info) for info in items]
    if not isinstance(items, (list, tuple)) or len(items) > MAX_ITEMS:
        kind = type(items).__name__
        message = f"'for_each' must be a list of at most {MAX_ITEMS:,} items, not {kind}"
        raise FieldError(f"{step.mark}: {message}")
    return list(items)


def _merge_items(completed: Sequence[CompletedWork], known: Iterable[str]) -> CompletedWork:
    """Returns the outputs of all items as lists, in the order of the items.

    Without items, the ``known`` outputs are empty lists.
    """
    names = dict.fromkeys(name for each in completed for name in each.outputs)
    if not completed:
        names = dict.fromkeys(known)
    outputs = {name: [each.outputs.get(name) for each in completed] for name in names}
    attempts = max((each.attempts for each in completed), default=1)
    warning = next((each.warning for each in completed if each.warning is not None), None)
    left = tuple(path for each in completed for path in each.left)
    return CompletedWork(outputs, attempts, warning, left)


def _name_item(error: StepError, number: int, item: Any) -> StepError:
    named = item["key"] if isinstance(item, Mapping) and "key" in item else item
    text = safe_text(named)[:_MAX_SHOWN]
    return StepError(f"item {number} ({text}): {error.message}", hint=error.hint, type=error.type)
