"""Tasks of a distributed operation: their size, and what happens when one runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from rolerunner.storage.sorting import object_line
from rolerunner.storage.workers import distributed_tasks
from rolerunner.storage.workers.distributed_tasks import (
    BlockTask,
    OperationTask,
    pickle_tasks,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.common.cancellation import Cancel


def create_copy(key: str, size: int = 1) -> Copy:
    info = ObjectInfo(key, size, f"etag-{key}")
    return Copy(S3Uri("from", key), S3Uri("to", key), info)


class FakeStorage:
    """Copies objects, except those with a given outcome; ``existing`` is what the target has."""

    def __init__(self, existing: dict[str, ObjectInfo]) -> None:
        self.existing = existing
        self.copied: list[Copy] = []

    def head_many(self, uris: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        for uri in uris:
            yield Outcome(uri, info=self.existing.get(uri.key))

    def copy(self, items: Iterable[Any], cancel: Cancel) -> Iterator[Outcome]:
        for item in items:
            if isinstance(item, Outcome):
                yield item
            else:
                self.copied.append(item)
                yield Outcome(item.target, error=StepError("no"))


@pytest.mark.parametrize(
    ("existing", "is_done"),
    [
        (ObjectInfo("a", 1, "etag-a", "2026-01-01T00:00:00Z"), True),
        (ObjectInfo("a", 1, "etag-a", "2025-12-31T23:59:59Z"), False),
        (ObjectInfo("a", 2, "etag-a", "2026-01-02T00:00:00Z"), False),
        (ObjectInfo("a", 1, "other", "2026-01-02T00:00:00Z"), False),
        (None, False),
    ],
    ids=["done", "older", "size", "etag", "missing"],
)
def test_a_completed_copy_is_not_repeated(existing: ObjectInfo | None, is_done: bool) -> None:
    storage: Any = FakeStorage({"a": existing} if existing else {})
    task = OperationTask(storage, "copy", [create_copy("a")], (), {}, "2026-01-01T00:00:00Z")
    (outcome,) = task(True).outcomes
    assert (outcome.error is None) is is_done
    assert [item.repeated for item in storage.copied] == ([] if is_done else [True])


def test_a_first_run_sends_no_head_requests() -> None:
    newer = ObjectInfo("a", 1, "etag-a", "2026-01-02T00:00:00Z")
    storage: Any = FakeStorage({"a": newer})
    OperationTask(storage, "copy", [create_copy("a")], (), {}, "2026-01-01T00:00:00Z")(False)
    assert [item.repeated for item in storage.copied] == [False]


def test_a_task_that_cannot_be_pickled_is_an_error() -> None:
    with pytest.raises(StepError, match="cannot be sent") as caught:
        pickle_tasks([lambda again: again])
    assert caught.value.type == "NotShipped"


def test_a_block_of_lines_becomes_items_in_the_worker() -> None:
    infos = [create_copy("a", 3).info, create_copy("b", 4).info]
    lines = "".join(object_line(info) for info in infos if info is not None)
    storage: Any = FakeStorage({})
    task = BlockTask(
        storage,
        "copy",
        lines.encode(),
        lambda found: [create_copy(info.key, info.size) for info in found],
        "to",
        (),
        {},
        "2026-01-01T00:00:00Z",
    )
    block = task(False).block
    assert (block.done, block.failed) == (0, 2)  # this storage refuses all
    assert [item.source.key for item in storage.copied] == ["a", "b"]
    assert task(False).rest == b""


@pytest.mark.parametrize("again", [False, True])
def test_a_task_returns_the_lines_for_which_it_has_no_time(
    again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed_tasks, "TASK_SECONDS", 0.0)
    lines = [object_line(ObjectInfo(f"{number:02d}", 1, "e")) for number in range(40)]
    storage: Any = FakeStorage({})
    task = BlockTask(
        storage,
        "copy",
        "".join(lines).encode(),
        lambda found: (create_copy(info.key, info.size) for info in found),
        "to",
        (),
        {},
        "2026-01-01T00:00:00Z",
    )
    result = task(again)
    begun = 40 if again else 16  # a worker that died may have done any of them
    assert result.block.count == len(storage.copied) == begun
    assert result.rest == "".join(lines[begun:]).encode()
