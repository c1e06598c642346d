"""Objects that are read one after the other, in both engines."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.boto import ordered_reads as boto_reads
from rolerunner.storage.native import ordered_reads
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from tests.memory_aws import error
from tests.unit.storage.engines import once

if TYPE_CHECKING:
    from tests.memory_aws import Store

SMALL, BLOCK = 20, 100


@pytest.fixture(autouse=True)
def _small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_reads, "_SMALL", SMALL)
    for module in (ordered_reads, boto_reads):
        monkeypatch.setattr(module, "BLOCK", BLOCK)


def store_objects(store: Store, sizes: list[int]) -> list[tuple[S3Uri, ObjectInfo]]:
    draw = random.Random(1)
    items = []
    for number, size in enumerate(sizes):
        key = f"key-{number:04}"
        entry = store.put("bucket", key, draw.randbytes(size))
        items.append((S3Uri("bucket", key), ObjectInfo(key, size, entry.etag)))
    return items


def read_all(engine: Any, items: list[tuple[S3Uri, ObjectInfo]]) -> list[tuple[str, bytes, str]]:
    """Returns each object's key, bytes and error."""
    blocks = [
        replace(block, data=bytes(block.data))  # valid until the next block is drawn
        for block in engine.read_in_order(items, Cancel())
    ]
    found = []
    for key, group in groupby(blocks, lambda block: block.uri.key):
        own = list(group)
        starts = [block.start for block in own]
        assert starts == sorted(starts)
        assert [block.is_last for block in own] == [False] * (len(own) - 1) + [True]
        failed = own[-1].error
        data = b"".join(block.data for block in own)
        found.append((key, data, failed.type if failed is not None else ""))
    return found


def test_objects_of_all_sizes_come_in_their_order(engine: Any, memory_aws: Store) -> None:
    sizes = [0, 1, SMALL, SMALL + 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5, *range(0, 200, 5)]
    items = store_objects(memory_aws, sizes)
    bodies = memory_aws.bodies()
    expected = [(uri.key, bodies[str(uri)], "") for uri, _ in items]
    assert read_all(engine, items) == expected


@pytest.mark.parametrize("size", [SMALL, SMALL + 1, 3 * BLOCK])
def test_what_cannot_be_read_fails_in_its_place(size: int, engine: Any, memory_aws: Store) -> None:
    items = store_objects(memory_aws, [size] * 4)
    memory_aws.put("bucket", items[1][0].key, b"x" * size)
    missing = (S3Uri("bucket", "missing"), ObjectInfo("missing", size, '"none"'))
    found = read_all(engine, [*items[:3], missing, items[3]])
    assert [(key, bool(failed)) for key, _, failed in found] == [
        ("key-0000", False),
        ("key-0001", True),
        ("key-0002", False),
        ("missing", True),
        ("key-0003", False),
    ]


@pytest.mark.usefixtures("_no_pauses")
def test_a_request_that_fails_once_is_sent_again(engine: Any, memory_aws: Store) -> None:
    items = store_objects(memory_aws, [10, 10])
    memory_aws.hook, seen = once(lambda request: request.method == "GET", error(503, "SlowDown"))
    assert [failed for _, _, failed in read_all(engine, items)] == ["", ""]
    assert len(seen) == 3


@pytest.mark.parametrize("size", [SMALL, 3 * BLOCK])
def test_a_refused_condition_of_an_unchanged_object_is_explained(
    size: int, engine: Any, memory_aws: Store
) -> None:
    items = store_objects(memory_aws, [size])
    memory_aws.hook = lambda request: (
        error(412, "PreconditionFailed") if request.method == "GET" else None
    )
    assert [failed for _, _, failed in read_all(engine, items)] == ["IfMatchRefused"]


def test_little_is_read_ahead_of_the_consumer(
    memory_aws: Store, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(engine, "client"):
        pytest.skip("the plain engine reads as many as it has threads")
    monkeypatch.setattr(ordered_reads, "_MAX_PENDING", 5)
    items = store_objects(memory_aws, [10] * 50)
    with closing(engine.read_in_order(items, Cancel())) as blocks:
        for number, block in enumerate(blocks, 1):
            assert block.error is None
            assert len(memory_aws.requests_of("GET")) <= number + 5
    assert len(memory_aws.requests_of("GET")) == 50


def test_a_cancelled_read_ends(engine: Any, memory_aws: Store) -> None:
    items = store_objects(memory_aws, [10] * 500)
    cancel = Cancel()
    blocks = engine.read_in_order(items, cancel)
    next(blocks)
    cancel.set()
    with pytest.raises(StepError):
        list(blocks)


def fill_window(budget: int, *lengths: int) -> Any:
    window = ordered_reads._Window(budget)
    for number, length in enumerate(lengths):
        uri = S3Uri("b", str(number))
        source = ObjectRange(uri, ObjectInfo(uri.key, length, "e"), 0, length)
        weight, _ = window.add(source, iter(()))  # type: ignore[arg-type]
        assert weight == length
    return window


@pytest.mark.parametrize(
    ("lengths", "is_full"),
    [
        ((), False),
        ((11,), False),
        ((5, 5), False),
        ((5, 6), True),
        ((0,) * 1023, False),
        ((0,) * 1024, True),
    ],
)
def test_a_window_is_full_beyond_its_budget_or_number(
    lengths: tuple[int, ...], is_full: bool
) -> None:
    assert fill_window(10, *lengths).is_full is is_full


def test_a_window_returns_its_reads_in_order_and_has_room_again() -> None:
    window = fill_window(10, 5, 6, 5)
    assert (window.is_full, window.is_first_done) == (True, False)
    assert [window.take().source.uri.key, window.is_full] == ["0", True]
    assert [window.take().source.uri.key, window.is_full] == ["1", False]
    window.pending[0].data.set_result(b"")
    assert window.is_first_done
    window.take()
    assert not window.is_first_done
