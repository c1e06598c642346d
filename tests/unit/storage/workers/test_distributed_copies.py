"""Large copies are set apart, and follow the other items of their operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.model import Role, S3Uri
from rolerunner.storage.object_lines import ItemBlocks, measure_line
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from rolerunner.storage.sorting import object_line
from rolerunner.storage.workers import distributed_parts
from rolerunner.storage.workers.distributed_copies import LargeCopies
from rolerunner.storage.workers.distributed_operation import DistributedOperation, RoleWorkers
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rolerunner.storage.concurrency import PartExecutor

SMALL, LARGE = ObjectInfo("small", 99), ObjectInfo("large", 400)


class Local:
    """A storage that copies one large object."""

    def copy_in_parts(self, item: Copy, source: Any, parts: PartExecutor) -> Outcome:
        assert parts.is_remote
        return Outcome(item.target, etag=source)


@pytest.fixture(autouse=True)
def _large_from_100_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_parts, "SPREAD_BYTES", 100)


def create_large(method: str) -> LargeCopies:
    local: Any = Local()
    source: Any = "reader"
    workers = RoleWorkers(InProcess(slots=5), Role(""), Pacer())
    return LargeCopies(workers, DistributedOperation(local, method), local, source)


def make_copies(objects: Iterable[ObjectInfo]) -> Iterator[Copy]:
    for info in objects:
        yield Copy(S3Uri("from", info.key), S3Uri("to", info.key), info)


def test_large_copies_follow_the_other_items() -> None:
    large = create_large("relay")
    items = list(large.set_items_apart(make_copies([LARGE, SMALL])))
    assert [item.source.key for item in items] == ["small"]
    assert list(large.run(Cancel())) == [Outcome(S3Uri("to", "large"), etag="reader")]
    assert large.workers.pacer.shares == 5


def test_other_operations_set_nothing_apart() -> None:
    large = create_large("head_many")
    uris = [S3Uri("b", "large"), S3Uri("b", "small")]
    assert list(large.set_items_apart(uris)) == uris
    assert list(large.run(Cancel())) == []


@pytest.mark.parametrize(("method", "rest"), [("relay", [99]), ("delete", [400, 99])])
def test_lines_of_large_copies_are_set_apart(method: str, rest: list[int], tmp_path: Path) -> None:
    path = tmp_path / "objects"
    path.write_text("".join(object_line(each) for each in (LARGE, SMALL)))
    blocks = ItemBlocks(path, 2, 499, make_copies, "to")
    large = create_large(method)
    assert [measure_line(line) for line in large.set_lines_apart(blocks)] == rest
    assert len(list(large.run(Cancel()))) == 2 - len(rest)
