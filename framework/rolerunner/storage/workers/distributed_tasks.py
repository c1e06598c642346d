"""The tasks of a distributed operation: how items are divided, and how a task runs."""

from __future__ import annotations

import heapq
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import chain
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.storage.object_lines import (
    MakeItems,
    OutcomeBlock,
    pack_outcomes,
    parse_object_lines,
    split_lines,
)
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, prepare_retry
from rolerunner.storage.workers.protocol import run_operation

if TYPE_CHECKING:
    from rolerunner.storage.protocol import Storage

T = TypeVar("T")
DistributedTask = Callable[[bool], Any]
"""A part of the work that can be pickled. Its argument is True if a worker that died may have done
some of it.
"""

OBJECTS_PER_TASK = 500
"""Objects of a task whose size is not chosen by the time that earlier tasks took."""
KEYS_PER_DELETION = 1000
"""A task of a deletion is one or more DeleteObjects requests of so many keys."""
TASK_SECONDS = 1.0
"""Time that a task takes if its size is chosen by time: progress is reported as often."""
_MAX_GROWTH = 4
"""The factor by which a task may have more objects than any task before it."""
MAX_OBJECTS_PER_TASK = 20_000
"""Such a task and its outcomes take some 20 MB of a worker's memory."""
MAX_TASK_BYTES = 256 << 20
"""Bytes of objects after which a task has no more of them, unless it has one object alone."""
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


@dataclass(frozen=True)
class BlockResult:
    """The outcomes of a task, and the seconds that it took."""

    block: OutcomeBlock
    seconds: float


@dataclass(frozen=True)
class BlockTask:
    """One storage operation over items that the worker makes from lines of a manifest."""

    storage: Storage
    method: str
    lines: bytes
    make_items: MakeItems
    bucket: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    started_at: str

    def __call__(self, again: bool) -> BlockResult:
        """Runs the task. ``again`` is as of ``OperationTask``."""
        start = time.monotonic()
        lines = split_lines(self.lines.decode("ascii"))
        items = list(self.make_items(parse_object_lines(lines)))
        task = OperationTask(
            self.storage, self.method, items, self.arguments, self.options, self.started_at
        )
        block = pack_outcomes(task(again), self.bucket)
        return BlockResult(block, time.monotonic() - start)


@dataclass
class TaskSizes:
    """Chooses how many objects a task gets, so that it takes about ``TASK_SECONDS``.

    ``total`` is the number of objects of all tasks, ``multiple`` what a task's number is rounded
    up to, and ``first`` the number before any task has ended.
    """

    total: int
    multiple: int = 1
    first: int = field(default_factory=lambda: OBJECTS_PER_TASK)
    drawn: int = 0
    _count: int = 0
    _largest: int = 0
    _seconds: float = 0.0

    def add_task(self, count: int, seconds: float) -> None:
        """Adds a task that has ended."""
        self._count += count
        self._seconds += seconds
        self._largest = max(self._largest, count)

    def choose(self, slots: int) -> int:
        """Returns the number of objects of the next task.

        Tasks become smaller towards the end, so that all slots end at about the same time.
        """
        wanted = self.first
        if self._count:
            rate = self._count / max(self._seconds, 0.001)
            wanted = min(round(rate * TASK_SECONDS), self._largest * _MAX_GROWTH)
        fair = -(-(self.total - self.drawn) // (2 * slots))
        least = min(self.first, wanted)
        chosen = min(wanted, max(fair, least), MAX_OBJECTS_PER_TASK)
        return -(-max(chosen, 1) // self.multiple) * self.multiple


def draw_lines(
    lines: Iterator[tuple[bytes, int]], count: int, held: list[tuple[bytes, int]]
) -> tuple[list[bytes], int]:
    """Draws the lines of one task, and the bytes of their objects.

    A line that would make the task too large goes to ``held`` and is drawn first the next time.
    """
    drawn: list[bytes] = []
    size = 0
    for line, of_object in chain(iter([held.pop()] if held else []), lines):
        if drawn and size + of_object > MAX_TASK_BYTES:
            held.append((line, of_object))
            break
        drawn.append(line)
        size += of_object
        if len(drawn) >= count:
            break
    return drawn, size


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
