"""Items reach workers in tasks; outcomes among them do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.model import Role, S3Uri
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from rolerunner.storage.workers import distributed_tasks
from rolerunner.storage.workers.distributed_copies import LargeCopies
from rolerunner.storage.workers.distributed_items import DistributedItems
from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Copier:
    """A storage, pickled as it is, that copies whatever it gets."""

    def copy(self, items: Iterable[Copy], cancel: Cancel) -> Iterator[Outcome]:
        assert not cancel.is_set()
        for item in items:
            assert item.info is not None
            yield Outcome(item.target, item.info.size)


def create_copies(count: int) -> list[Copy]:
    return [
        Copy(S3Uri("from", str(number)), S3Uri("to", str(number)), ObjectInfo(str(number), number))
        for number in range(count)
    ]


def create_items(pool: InProcess, pacer: Pacer) -> DistributedItems:
    storage: Any = Copier()
    workers = RoleWorkers(pool, Role(""), pacer)
    operation = DistributedOperation(storage, "copy")
    return DistributedItems(workers, operation, LargeCopies(workers, operation, storage, None))


def test_each_item_has_one_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_tasks, "OBJECTS_PER_TASK", 3)
    pacer, moved = Pacer(), [0]
    pacer.on_bytes = moved.append
    pool = InProcess(slots=4)
    decided = Outcome(S3Uri("to", "decided"), 5000, status="skipped")
    items = [decided, *create_copies(20)]
    outcomes = list(create_items(pool, pacer).run(items, Cancel()))
    assert sorted(int(each.uri.key) for each in outcomes if each is not decided) == [*range(20)]
    assert outcomes.count(decided) == 1
    assert sum(moved) == sum(range(20))
    assert pool.waves == [4, 1]  # one for each slot, of three items; then what takes a second


def test_the_next_operation_has_tasks_of_the_size_that_the_last_one_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed_tasks, "OBJECTS_PER_TASK", 2)
    pool = InProcess(slots=3)
    items = create_items(pool, Pacer())
    assert len(list(items.run(create_copies(30), Cancel()))) == 30
    assert pool.waves[0] == 3  # one task for each slot, of two items
    first = pool.parts
    assert len(list(items.run(create_copies(30), Cancel()))) == 30
    assert pool.parts - first == 1
