"""The tasks of a distributed operation: how items are divided, and how a task runs."""

from __future__ import annotations

import heapq
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, prepare_retry
from rolerunner.storage.workers.protocol import run_operation

if TYPE_CHECKING:
    from rolerunner.storage.protocol import Storage

T = TypeVar("T")
DistributedTask = Callable[[bool], Any]
"""A part of the work that can be pickled. Its argument is True if a worker that died may have done
some of it.
"""

OBJECTS_PER_TASK = 250
"""Such a task takes a second or less, and 20 ms to start: progress is reported at least that often.
"""
KEYS_PER_DELETION = 1000
"""A task of a deletion is one DeleteObjects request."""
BYTES_PER_SLOT = 1 << 30
"""A wave ends at so many bytes for each slot, so that large objects show progress too."""
BYTES_PER_REQUEST = 256 << 10
"""The requests of an object cost as much as so many bytes."""


def pickle_tasks(tasks: Sequence[DistributedTask]) -> list[bytes]:
    """Pickles each task. Raises StepError for one that cannot be pickled."""
    try:
        return [pickle.dumps(task) for task in tasks]
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        hint = "arguments and params must be plain values without secrets; workers look secrets up"
        message = f"the work cannot be sent to other machines: {error}"
        raise StepError(message, hint=hint, type="NotShipped") from None


@dataclass(frozen=True)
class OperationTask:
    """One storage operation over a part of its items."""

    storage: Storage
    method: str
    items: Sequence[Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    started_at: str
    """When the whole operation started, in ISO 8601 UTC: newer objects may be the work of a worker
    that died.
    """

    def __call__(self, again: bool) -> list[Outcome]:
        """Runs the task.

        With ``again``, copies that a worker completed before it died are not repeated.
        """
        cancel = Cancel()
        items = self.items
        if again and self.method in ("copy", "relay"):
            items = [prepare_retry(item) for item in self._find_completed(cancel)]
        outcomes = list(
            run_operation(self.storage, self.method, items, self.arguments, cancel, self.options)
        )
        for outcome in outcomes:
            if outcome.error is not None:
                redact_error(outcome.error)
        return outcomes

    def _find_completed(self, cancel: Cancel) -> list[Union[Copy, Outcome]]:
        """Returns the copies, as outcomes where a worker completed them before it died.

        They are not made again, since a bucket may keep versions.
        """
        targets = [item.target for item in self.items]
        heads = {head.uri: head.info for head in self.storage.head_many(targets, cancel)}
        return [self._get_outcome(item, heads.get(item.target)) or item for item in self.items]

    def _get_outcome(self, item: Copy, existing: Optional[ObjectInfo]) -> Optional[Outcome]:
        if existing is None or item.info is None or existing.modified < self.started_at:
            return None
        if (existing.size, existing.etag) != (item.info.size, item.info.etag):
            return None
        return Outcome(
            item.target,
            existing.size,
            etag=existing.etag,
            version=existing.version,
            source=item.source,
            source_info=item.info,
        )


def draw_items(
    rest: Iterator[Any], max_items: int, max_bytes: int, outcomes: deque[Outcome]
) -> list[Any]:
    """Draws the items of one wave. Outcomes among them are appended to ``outcomes``."""
    drawn: list[Any] = []
    size = 0
    for item in rest:
        if isinstance(item, Outcome):
            outcomes.append(item)
        else:
            drawn.append(item)
            size += _get_size(item)
        if len(drawn) + len(outcomes) >= max_items or size >= max_bytes:
            break
    return drawn


def balance_tasks(items: Sequence[T], max_tasks: int) -> list[list[T]]:
    """Divides items into tasks of about the same cost, and returns the costliest first."""
    count = min(max_tasks, len(items))
    tasks: list[list[T]] = [[] for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    # the largest items first, each to the task with the lowest load
    for item in sorted(items, key=_get_size, reverse=True):
        load, number = loads[0]
        tasks[number].append(item)
        heapq.heapreplace(loads, (load + _get_size(item) + BYTES_PER_REQUEST, number))
    return [tasks[number] for _, number in sorted(loads, key=lambda each: -each[0])]


def _get_size(item: Any) -> int:
    info = getattr(item, "info", None)
    return info.size if info is not None else 0
