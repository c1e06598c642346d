"""Operations on items that this machine makes and sends to the workers of a cluster."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.workers import distributed_tasks as tasks
from rolerunner.storage.workers import timed_tasks
from rolerunner.storage.workers.timed_tasks import TaskFeed, TaskSizes, create_rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.protocol import Outcome
    from rolerunner.storage.workers.distributed_copies import LargeCopies
    from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers


@dataclass(frozen=True)
class DistributedItems:
    """Runs an operation on items in waves of tasks; large copies follow at the end.

    A worker cannot send back what it opened, so a task does all of its items. The first tasks are
    small, and later ones as large as the time of the earlier ones tells.
    """

    workers: RoleWorkers
    operation: DistributedOperation
    large: LargeCopies

    def run(self, items: Iterable[Any], cancel: Cancel) -> Iterator[Outcome]:
        """Yields the outcome of each item. Outcomes among items are passed through.

        Items that tell their number, by ``__length_hint__``, are spread more evenly.
        """
        sizes = self._choose_sizes(operator.length_hint(items, sys.maxsize))
        measured = map(self._measure, self.large.set_items_apart(items))
        feed = TaskFeed(measured, sizes, self.workers.share_pacer)
        waves = map(tasks.pickle_wave, feed.create_waves(self.operation.create_task))
        for results in self.workers.run(waves, cancel, self.operation.method):
            yield from feed.take_ended()
            for result in results:
                feed.add_result(len(result.outcomes), result.seconds, ())
                yield from map(self._report, result.outcomes)
        yield from self.large.run(cancel)

    def _choose_sizes(self, total: int) -> TaskSizes:
        """Returns the sizes of tasks, which go on with the rates of earlier operations."""
        rates = self.workers.rates.setdefault(self.operation.method, create_rates())
        most = timed_tasks.MAX_VALUES_PER_TASK
        if self.operation.is_deletion:
            keys = tasks.KEYS_PER_DELETION
            return TaskSizes(total, keys, keys, first=most, most=most, rates=rates)
        count = tasks.OBJECTS_PER_TASK
        return TaskSizes(total, least=count, first=count, most=most, rates=rates)

    def _measure(self, item: Any) -> tuple[Any, int]:
        """Returns an item, and the bytes of its object if they pass through the workers."""
        return item, tasks.get_size(item) if self.operation.moves_bytes else 0

    def _report(self, outcome: Outcome) -> Outcome:
        if self.operation.is_copy and outcome.status == "done":
            self.workers.pacer.report_bytes(outcome.size)
        return outcome
