"""The tasks of a distributed operation: how items are divided, and how a task runs."""

from __future__ import annotations

import heapq
import math
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.storage.deleted_objects import pack_deletions
from rolerunner.storage.object_lines import (
    MakeItems,
    OutcomeBlock,
    pack_outcomes,
    parse_object_lines,
    split_lines,
)
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, prepare_retry
from rolerunner.storage.workers.protocol import run_operation
from rolerunner.storage.workers.timed_tasks import BEGUN_TOGETHER, TASK_SECONDS, TimedItems

if TYPE_CHECKING:
    from rolerunner.storage.protocol import Storage

T = TypeVar("T")
DistributedTask = Callable[[bool], Any]
"""A part of the work that can be pickled. Its argument is True if a worker that died may have done
some of it.
"""

OBJECTS_PER_TASK = 500
"""Objects of a task that has no limit of time; of one that has, before any has ended, at least."""
KEYS_PER_DELETION = 1000
"""A task of a deletion is one or more DeleteObjects requests of so many keys."""
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


def pickle_wave(wave: Optional[Sequence[DistributedTask]]) -> Optional[list[bytes]]:
    """Pickles each task of a wave, if there is one. Raises StepError."""
    return None if wave is None else pickle_tasks(wave)


@dataclass(frozen=True)
class OperationTask:
    """One storage operation over a part of its items."""

    storage: Storage
    method: str
    items: Iterable[Any]
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
            items = map(prepare_retry, self._find_completed(list(self.items), cancel))
        outcomes = list(
            run_operation(self.storage, self.method, items, self.arguments, cancel, self.options)
        )
        for outcome in outcomes:
            if outcome.error is not None:
                redact_error(outcome.error)
        return outcomes

    def _find_completed(self, items: Sequence[Copy], cancel: Cancel) -> list[Union[Copy, Outcome]]:
        """Returns the copies, as outcomes where a worker completed them before it died.

        They are not made again, since a bucket may keep versions.
        """
        targets = [item.target for item in items]
        heads = {head.uri: head.info for head in self.storage.head_many(targets, cancel)}
        return [self._get_outcome(item, heads.get(item.target)) or item for item in items]

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
    """The outcomes of a task, the seconds that it took, and the lines that it has not begun."""

    block: OutcomeBlock
    seconds: float
    rest: bytes = b""


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
        """Runs the task until its time is over. ``again`` is as of ``OperationTask``.

        With ``again`` it does all, since a worker that died may have done any of it.
        """
        multiple = KEYS_PER_DELETION if self.method == "delete" else BEGUN_TOGETHER
        lines = split_lines(self.lines.decode("ascii"))
        timed = TimedItems(lines, math.inf if again else TASK_SECONDS, multiple)
        items = self.make_items(parse_object_lines(timed))
        block = self._delete(items) if self.method == "delete" else self._run(items, again)
        rest = "".join(f"{line}\n" for line in timed.list_rest())
        return BlockResult(block, timed.elapsed(), rest.encode("ascii"))

    def _run(self, items: Iterable[Any], again: bool) -> OutcomeBlock:
        task = OperationTask(
            self.storage, self.method, items, self.arguments, self.options, self.started_at
        )
        return pack_outcomes(task(again), self.bucket)

    def _delete(self, items: Iterable[Any]) -> OutcomeBlock:
        """Deletes objects, without a value for the outcome of each."""
        (bucket,) = self.arguments
        batches = self.storage.delete_batches(items, bucket, Cancel(), **self.options)
        block = pack_deletions(batches, self.bucket)
        for failure in block.failures:
            if failure.error is not None:
                redact_error(failure.error)
        return block


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
