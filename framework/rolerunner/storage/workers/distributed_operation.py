"""An operation on many objects, and the workers of a cluster that run it under a role."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.workers.distributed_tasks import BlockTask, OperationTask

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import Role
    from rolerunner.storage.object_lines import ItemBlocks
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner


@dataclass(frozen=True)
class RoleWorkers:
    """The workers of a cluster, and the limits of rates that they share under a role."""

    pool: TaskRunner
    role: Role
    pacer: Pacer
    rates: dict[str, deque[float]] = field(default_factory=dict)
    """Items a second of the last tasks of each method."""

    def share_pacer(self) -> int:
        """Divides the limits of rates among the tasks that run at once; returns their number."""
        self.pacer.shares = slots = self.pool.slots()
        return slots

    def run(
        self, waves: Iterable[Optional[Sequence[bytes]]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Runs waves of pickled tasks and yields their results. Raises StepError."""
        return self.pool.run(waves, cancel, self.label(what))

    def label(self, what: str) -> str:
        """Returns the name of work as the cluster shows it."""
        return f"rolerunner: {what} as {self.role}"


def _format_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class DistributedOperation:
    """A method of a storage and its arguments, for any of its items.

    ``storage`` is unpickled as the engine itself in a worker.
    """

    storage: Storage
    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    started_at: str = field(default_factory=_format_now)

    @property
    def is_copy(self) -> bool:
        """True if its items are copies, whose bytes are reported as progress."""
        return self.method in ("copy", "relay")

    @property
    def moves_bytes(self) -> bool:
        """True if the bytes of its objects pass through the workers."""
        return self.method == "relay"

    @property
    def is_deletion(self) -> bool:
        """True if its items are deleted, many by one request."""
        return self.method == "delete"

    def create_task(self, items: Iterable[Any]) -> OperationTask:
        """Returns the task of these items."""
        return OperationTask(
            self.storage, self.method, items, self.arguments, self.options, self.started_at
        )

    def create_block_task(self, lines: Iterable[bytes], blocks: ItemBlocks) -> BlockTask:
        """Returns the task of the items that a worker makes of these lines."""
        return BlockTask(
            self.storage, self.method, b"".join(lines), blocks.make_items, blocks.bucket,
            self.arguments, self.options, self.started_at,
        )  # fmt: skip
