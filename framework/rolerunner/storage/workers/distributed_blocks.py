"""Operations on items that the workers of a cluster make from lines of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.object_lines import OutcomeBlock, measure_line, pack_outcomes
from rolerunner.storage.workers import distributed_tasks as tasks
from rolerunner.storage.workers.timed_tasks import TaskFeed, TaskSizes

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.object_lines import ItemBlocks
    from rolerunner.storage.workers.distributed_copies import LargeCopies
    from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers
    from rolerunner.storage.workers.distributed_tasks import DistributedTask


@dataclass(frozen=True)
class DistributedBlocks:
    """Runs an operation on blocks of items in tasks of some seconds; large copies follow."""

    workers: RoleWorkers
    operation: DistributedOperation
    large: LargeCopies

    def run(self, blocks: ItemBlocks, cancel: Cancel) -> Iterator[OutcomeBlock]:
        """Yields the outcomes of the items in blocks."""

        def create_task(lines: Sequence[bytes]) -> DistributedTask:
            return self.operation.create_block_task(lines, blocks)

        lines = map(self._measure, self.large.set_lines_apart(blocks))
        feed = TaskFeed(lines, self._choose_sizes(blocks.count), self.workers.share_pacer)
        waves = map(tasks.pickle_wave, feed.create_waves(create_task))
        for results in self.workers.run(waves, cancel, self.operation.method):
            for result in results:
                rest = map(self._measure, result.rest.splitlines(keepends=True))
                feed.add_result(result.block.count, result.seconds, rest)
                if self.operation.is_copy:
                    self.workers.pacer.report_bytes(result.block.bytes)
                yield result.block
        for outcome in self.large.run(cancel):
            yield pack_outcomes([outcome], blocks.bucket)

    def _choose_sizes(self, total: int) -> TaskSizes:
        if self.operation.is_deletion:
            slots = self.workers.pool.slots()
            return TaskSizes.of_light_items(total, tasks.KEYS_PER_DELETION, slots)
        return TaskSizes(total, least=tasks.OBJECTS_PER_TASK)

    def _measure(self, line: bytes) -> tuple[bytes, int]:
        """Returns a line, and the bytes of its object if they pass through the workers."""
        return line, measure_line(line) if self.operation.moves_bytes else 0
