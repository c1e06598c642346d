"""Operations on items that this machine makes and sends to the workers of a cluster."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.workers import distributed_tasks as tasks
from rolerunner.storage.workers.protocol import choose_wave_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.protocol import Outcome
    from rolerunner.storage.workers.distributed_copies import LargeCopies
    from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers


@dataclass(frozen=True)
class DistributedItems:
    """Runs an operation on items in waves of tasks; large copies follow at the end."""

    workers: RoleWorkers
    operation: DistributedOperation
    large: LargeCopies

    def run(self, items: Iterable[Any], cancel: Cancel) -> Iterator[Outcome]:
        """Yields the outcome of each item. Outcomes among items are passed through."""
        decided: deque[Outcome] = deque()
        pacer = self.workers.pacer
        waves = self._create_waves(iter(self.large.set_items_apart(items)), decided)
        for results in self.workers.run(waves, cancel, self.operation.method):
            while decided:
                yield decided.popleft()
            for outcome in chain.from_iterable(results):
                if self.operation.is_copy and outcome.status == "done":
                    pacer.report_bytes(outcome.size)
                yield outcome
        yield from self.large.run(cancel)

    def _create_waves(
        self, items: Iterator[Any], decided: deque[Outcome]
    ) -> Iterator[Sequence[bytes]]:
        """Yields waves of pickled tasks, the costliest first.

        Outcomes among the items go to ``decided``.
        """
        is_deletion = self.operation.is_deletion
        task_size = tasks.KEYS_PER_DELETION if is_deletion else tasks.OBJECTS_PER_TASK
        while True:
            slots = self.workers.share_pacer()
            # a rate limit is divided by the slots, so no more tasks than slots may run
            count = slots if self.workers.pacer.is_paced else choose_wave_size(slots)
            max_bytes = count * tasks.BYTES_PER_SLOT
            drawn = tasks.draw_items(items, count * task_size, max_bytes, decided)
            if not drawn and not decided:
                return
            balanced = tasks.balance_tasks(drawn, count)
            yield tasks.pickle_tasks([self.operation.create_task(each) for each in balanced])
