"""Copies of large objects, whose parts all workers of a cluster send.

They are set apart from the other items of an operation and follow them, one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.object_lines import measure_line, parse_object_lines
from rolerunner.storage.tuning import Tuning
from rolerunner.storage.workers import distributed_parts as parts

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.object_lines import ItemBlocks
    from rolerunner.storage.protocol import Copy, Outcome, Storage
    from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers

_FEW = 4
"""If the bytes of all objects are not known, objects are spread from this many times as many
bytes on.
"""


@dataclass(frozen=True)
class LargeCopies:
    """The large objects of an operation.

    ``local`` is its storage on this machine, ``source`` the one that reads if it is another.
    """

    workers: RoleWorkers
    operation: DistributedOperation
    local: Storage
    source: Optional[Storage]
    _found: deque[Copy] = field(default_factory=deque)

    def set_items_apart(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yields the items but for copies of large objects. Outcomes among them are yielded."""
        if not self.operation.is_copy:
            yield from items
            return
        for item in items:
            least = 0 if parts.is_begun(item) else parts.SPREAD_BYTES * _FEW
            if parts.is_spread(item, self.operation.method, least):
                self._found.append(item)
            else:
                yield item

    def set_lines_apart(self, blocks: ItemBlocks) -> Iterator[bytes]:
        """Yields the lines of objects but for large ones."""
        least = parts.choose_spread_size(blocks.size, self.workers.pool.slots())
        for line in blocks.read_lines():
            if not self.operation.is_copy or measure_line(line) < least:
                yield line
                continue
            items = tuple(blocks.make_items(parse_object_lines([line.decode("ascii")])))
            if items and all(parts.is_spread(item, self.operation.method, least) for item in items):
                self._found.extend(items)
            else:
                yield line

    def run(self, cancel: Cancel) -> Iterator[Outcome]:
        """Copies what was set apart."""
        for item in self._found:
            yield self._copy_parts(item, cancel)

    def _copy_parts(self, item: Copy, cancel: Cancel) -> Outcome:
        """Copies one large object, whose parts the cluster sends."""
        workers, operation = self.workers, self.operation
        workers.share_pacer()
        storages = (operation.storage, *operation.arguments)
        what = workers.label(f"parts of {item.target}")
        with parts.DistributedParts(
            workers.pool, storages, what, cancel, workers.pacer.report_bytes
        ) as pool:
            tuning = replace(Tuning(), parts_at_once=pool.parts_at_once)
            with PartExecutor(cancel, tuning, pool, is_remote=True) as executor:
                return self.local.copy_in_parts(item, self.source, executor)
