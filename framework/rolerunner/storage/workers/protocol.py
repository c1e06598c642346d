"""The protocol of workers: what an operation gives a worker, and what it gets back.

A worker gets an operation (a method of a storage, and how to open that storage) and items, and
returns one outcome for each item. Forked workers receive items in messages over a channel while the
operation runs; workers of a cluster receive them in pickled tasks. Both call ``run_operation``.
Work that a worker did not finish is done again elsewhere, with items from ``prepare_retry``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import Role
    from rolerunner.storage.protocol import Access, Outcome, Storage

# Messages to a forked worker
OPEN = "open"
"""An ``OperationSpec`` begins."""
ITEMS = "items"
"""A list of items of the operation."""
CALL = "call"
"""A number, a method's name and its arguments: a part of a large object."""
STOP = "stop"
"""The operation is cancelled."""
CLOSE = "close"
"""There are no more items."""

# Messages from a forked worker
OUTCOMES = "outcomes"
"""A list of outcomes, and the number of bytes that were transferred since the last one."""
FAILED = "failed"
"""The exception that ended the operation."""
RESULT = "result"
"""The number of a call and its result."""
RAISED = "raised"
"""The number of a call and its exception."""
REFUSED = "refused"
"""The number of a call that the worker does not take: its operation ends, or it has no thread."""
DONE = "over"
"""The operation has ended in this worker."""

# Messages in both directions
LEASE = "lease"
"""A number and a request for a session, or its answer."""


@dataclass(frozen=True)
class OperationSpec:
    """One operation over many objects.

    ``source`` is the role that reads, if it is another than the one that writes.
    """

    method: str
    storage: tuple[Role, Access]
    source: Optional[tuple[Role, Access]] = None


def run_operation(
    storage: Storage,
    method: str,
    items: Iterable[Any],
    arguments: Sequence[Any],
    cancel: Cancel,
    options: Mapping[str, Any],
) -> Iterator[Outcome]:
    """Runs a worker's share of an operation and yields one outcome for each item."""
    outcomes: Iterator[Outcome] = getattr(storage, method)(items, *arguments, cancel, **options)
    return outcomes


WAVES_AT_ONCE = 8
"""Number of waves that run at once: a slot that becomes free has the tasks of the next ones."""
_TASKS_PER_SLOT = 2
"""Tasks that are given out for each slot: one runs, and one waits for its end."""


def choose_wave_size(slots: int) -> int:
    """Returns the number of tasks of a wave, so that those that run at once fill all slots."""
    return max(1, slots * _TASKS_PER_SLOT // WAVES_AT_ONCE)


def count_waves_at_once(slots: int) -> int:
    """Returns the number of waves of that size that run at once."""
    return max(2, min(WAVES_AT_ONCE, slots * _TASKS_PER_SLOT))


class TaskRunner(Protocol):
    """The workers of a cluster, whatever the cluster is."""

    def slots(self) -> int:
        """Returns the number of tasks that can run at once now."""

    def run(
        self, waves: Iterable[Optional[Sequence[bytes]]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Runs waves of pickled tasks and yields the results of each wave as it ends.

        Waves are drawn as slots become free; a wave may be empty, and None stands for one that
        depends on the results of those that run. ``what`` names the work where the
        cluster shows it. A task whose worker died runs again elsewhere. Raises StepError for what a
        task or the cluster raised.
        """
