"""The tasks of a distributed operation: how items are divided, and how a task runs."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

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

DistributedTask = Callable[[bool], Any]
"""A part of the work that can be pickled. Its argument is True if a worker that died may have done
some of it.
"""

OBJECTS_PER_TASK = 500
"""Objects of a task before any has ended; of one that has a limit of time, at least."""
KEYS_PER_DELETION = 1000
"""A task of a deletion is one or more DeleteObjects requests of so many keys."""


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
class OperationResult:
    """The outcomes of a task, and the seconds that it took."""

    outcomes: list[Outcome]
    seconds: float


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

    def __call__(self, again: bool) -> OperationResult:
        """Runs the task.

        With ``again``, copies that a worker completed before it died are not repeated.
        """
        began = time.monotonic()
        outcomes = self.run(again)
        return OperationResult(outcomes, time.monotonic() - began)

    def run(self, again: bool) -> list[Outcome]:
        """Runs the operation; returns the outcomes of all items."""
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
        return pack_outcomes(task.run(again), self.bucket)

    def _delete(self, items: Iterable[Any]) -> OutcomeBlock:
        """Deletes objects, without a value for the outcome of each."""
        (bucket,) = self.arguments
        batches = self.storage.delete_batches(items, bucket, Cancel(), **self.options)
        block = pack_deletions(batches, self.bucket)
        for failure in block.failures:
            if failure.error is not None:
                redact_error(failure.error)
        return block


def get_size(item: Any) -> int:
    """Returns the bytes of an item's object; 0 if they are not known."""
    info = getattr(item, "info", None)
    return info.size if info is not None else 0
