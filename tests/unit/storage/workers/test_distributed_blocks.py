"""Workers make items from lines and report blocks; what a task left goes to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.model import Role, S3Uri
from rolerunner.storage.object_lines import ItemBlocks
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import ObjectInfo, Outcome
from rolerunner.storage.sorting import object_line
from rolerunner.storage.workers import distributed_tasks, timed_tasks
from rolerunner.storage.workers.distributed_blocks import DistributedBlocks
from rolerunner.storage.workers.distributed_copies import LargeCopies
from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Heads:
    """A storage, pickled as it is, that finds every object."""

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        assert not cancel.is_set()
        return (Outcome(uri, 7) for uri in items)


def make_uris(objects: Iterable[ObjectInfo]) -> Iterator[S3Uri]:
    return (S3Uri("b", info.key) for info in objects)


@pytest.mark.parametrize("seconds", [0.0, 60.0], ids=["returned", "done"])
def test_each_line_has_one_outcome(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed_tasks, "OBJECTS_PER_TASK", 20)
    monkeypatch.setattr(distributed_tasks, "TASK_SECONDS", seconds)
    monkeypatch.setattr(timed_tasks, "FIRST_ITEMS", 40)
    path = tmp_path / "objects"
    path.write_text("".join(object_line(ObjectInfo(f"{n:03}", 7)) for n in range(100)))
    storage: Any = Heads()
    workers = RoleWorkers(InProcess(slots=2), Role(""), Pacer())
    operation = DistributedOperation(storage, "head_many")
    large = LargeCopies(workers, operation, storage, None)
    blocks = ItemBlocks(path, 100, 700, make_uris, "b")
    results = list(DistributedBlocks(workers, operation, large).run(blocks, Cancel()))
    assert sum(each.count for each in results) == 100
    assert sum(each.bytes for each in results) == 700
