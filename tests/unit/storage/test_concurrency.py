"""Work on many objects, and on the parts of large ones, in threads and within memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.concurrency import (
    PartExecutor,
    PartSequencer,
    batch_by_bucket,
    map_concurrently,
    retryable_work,
    split_ranges,
)
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from rolerunner.storage.tuning import Tuning
from rolerunner.storage.workers.pool import NoWorkerAvailable

if TYPE_CHECKING:
    from collections.abc import Iterator

TUNING = Tuning(memory=20, parts_at_once=2)
"""Parts share ten bytes and two threads."""


@pytest.fixture
def cancel() -> Cancel:
    return Cancel()


def test_every_item_has_its_result(cancel: Cancel) -> None:
    assert sorted(map_concurrently(range(50), lambda n: n * 2, cancel, 3)) == list(range(0, 100, 2))


def test_outcomes_pass_unchanged(cancel: Cancel) -> None:
    decided = Outcome(S3Uri("b", "k"), status="skipped")
    assert list(map_concurrently([decided], str, cancel, 1)) == [decided]


def test_items_are_drawn_as_there_is_room(cancel: Cancel) -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    results = map_concurrently(items(), str, cancel, 2)
    next(results)
    assert len(drawn) == 8, "four for each worker"
    results.close()  # type: ignore[attr-defined]


def test_a_cancelled_operation_draws_no_more_items(cancel: Cancel) -> None:
    seen: list[int] = []

    def items() -> Iterator[int]:
        yield 1
        cancel.set()
        yield 2

    with pytest.raises(StepError) as failed:
        list(map_concurrently(items(), seen.append, cancel, 2))
    assert failed.value.type == "Stopped"
    assert seen == [1], "what has begun ends"


def test_an_exception_of_the_work_is_raised(cancel: Cancel) -> None:
    def fail(_: int) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        list(map_concurrently([1], fail, cancel, 1))


def test_results_come_in_the_order_of_the_ranges(cancel: Cancel) -> None:
    def work(start: int, length: int) -> tuple[int, int]:
        time.sleep(0.02 if start == 0 else 0)
        return start, length

    with PartExecutor(cancel, TUNING) as parts:
        assert parts.map_ranges(split_ranges(10, 4), work, lambda _: 1) == [(0, 4), (4, 4), (8, 2)]


def test_ranges_hold_no_more_than_the_memory(cancel: Cancel) -> None:
    held: list[int] = []
    most: list[int] = []

    def work(start: int, length: int) -> None:
        held.append(length)
        most.append(sum(held))
        time.sleep(0.01)
        held.remove(length)

    with PartExecutor(cancel, Tuning(memory=20, parts_at_once=8)) as parts:
        parts.map_ranges([(n, 4) for n in range(10)], work, lambda length: length)
        assert max(most) <= 8, "two of four bytes fit into ten"
        assert parts.memory.acquire(10, cancel) == 10, "all of it is free again"


def test_the_first_failure_stops_the_ranges_after_it(cancel: Cancel) -> None:
    begun: list[int] = []

    def work(start: int, length: int) -> None:
        del length
        begun.append(start)
        raise StepError(f"part {start} failed")

    with PartExecutor(cancel, Tuning(memory=20, parts_at_once=1)) as parts:
        with pytest.raises(StepError, match="part 0 failed"):
            parts.map_ranges(((n, 1) for n in range(100)), work, lambda _: 1)
        assert parts.memory.acquire(10, cancel) == 10
    assert begun == [0]


def test_a_cancelled_operation_begins_no_more_ranges(cancel: Cancel) -> None:
    begun: list[int] = []

    def work(start: int, length: int) -> None:
        del length
        begun.append(start)
        cancel.set()
        time.sleep(0.05)

    with PartExecutor(cancel, Tuning(memory=20, parts_at_once=1)) as parts:
        with pytest.raises(StepError) as failed:
            parts.map_ranges(((n, 10) for n in range(100)), work, lambda _: 10)
        assert failed.value.type == "Stopped"
    assert begun == [0]


def test_few_ranges_are_in_flight(cancel: Cancel) -> None:
    """Ranges that need no memory are not all begun at once either."""
    go_on = threading.Event()
    drawn: list[int] = []

    def ranges() -> Iterator[tuple[int, int]]:
        for number in range(20):
            drawn.append(number)
            yield number, 1

    with PartExecutor(cancel, TUNING) as parts, ThreadPoolExecutor(1) as other:
        running = other.submit(parts.map_ranges, ranges(), lambda *_: go_on.wait(20), lambda _: 0)
        time.sleep(0.1)
        seen = len(drawn)
        go_on.set()
        assert len(running.result()) == 20
    assert seen <= 5, "twice the number of threads, and the one that waits"


def test_work_starts_when_there_is_memory_and_releases_it(cancel: Cancel) -> None:
    with PartExecutor(cancel, TUNING) as parts:
        assert parts.start(lambda: 7, 10).result() == 7

        def fail() -> None:
            raise StepError("broken")

        with pytest.raises(StepError, match="broken"):
            parts.start(fail, 10).result()
        assert parts.memory.acquire(99, cancel) == 10
        cancel.set()
        with pytest.raises(StepError):
            parts.start(lambda: 7, 1)


def test_memory_is_free_again_if_no_thread_can_be_started(cancel: Cancel) -> None:
    parts = PartExecutor(cancel, TUNING)
    with parts:
        pass
    with pytest.raises(RuntimeError):
        parts.start(lambda: 7, 10)
    assert parts.memory.acquire(10, cancel) == 10


class FakeCaller:
    """Workers that take calls, or are busy."""

    def __init__(self, *, is_free: bool) -> None:
        self.is_free = is_free
        self.calls: list[Any] = []

    def call(self, name: str, *arguments: Any, here: int) -> Any:
        self.calls.append((name, arguments, here))
        if not self.is_free:
            raise NoWorkerAvailable
        return "worker"


class Transport:
    """A client with a method for parts."""

    def read(self, *arguments: Any) -> Any:
        return arguments


@pytest.mark.parametrize("source", [None, "source"])
def test_a_method_runs_in_a_worker_if_one_is_free(cancel: Cancel, source: Optional[str]) -> None:
    free, busy = FakeCaller(is_free=True), FakeCaller(is_free=False)
    here = (*([source] if source else []), 1, 2, cancel)
    for pool, expected in ((free, "worker"), (busy, here), (None, here)):
        with PartExecutor(cancel, TUNING, pool) as parts:
            assert parts.submit(Transport().read, 1, 2, source=source) == expected
            assert parts.submit(Transport().read, 1, 2, source=source) == expected
    assert free.calls == busy.calls == [("read", (1, 2), 0)] * 2, "no call runs here any more"


def test_workers_know_how_many_calls_run_here(cancel: Cancel) -> None:
    busy = FakeCaller(is_free=False)
    with PartExecutor(cancel, TUNING, busy) as parts:

        def nest(*_: Any) -> Any:
            return parts.submit(Transport().read)

        parts.submit(nest)
    assert [here for _, _, here in busy.calls] == [0, 1]


def test_parts_take_turns_in_their_order() -> None:
    sequencer, seen = PartSequencer(), []

    def work(start: int) -> None:
        with sequencer.abort_on_error(), sequencer.wait_turn(start, start + 1):
            seen.append(start)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, (3, 1, 0, 2)))
    assert seen == [0, 1, 2, 3]


def test_a_part_that_fails_stops_those_that_wait() -> None:
    sequencer = PartSequencer()

    def work(start: int) -> str:
        try:
            with sequencer.abort_on_error(), sequencer.wait_turn(start, start + 1):
                raise ValueError("broken")
        except (StepError, ValueError) as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(work, 1)
        time.sleep(0.02)
        assert work(0) == "broken"
        assert waiting.result() == "an earlier part failed"


def test_only_the_first_call_works_on_the_item_itself() -> None:
    seen: list[Copy] = []

    def work(item: Copy) -> Outcome:
        seen.append(item)
        return Outcome(item.target)

    again = retryable_work(Copy(S3Uri("a", "x"), S3Uri("b", "x")), work)
    for _ in range(3):
        again()
    assert [each.repeated for each in seen] == [False, True, True]


def test_batches_are_of_one_bucket() -> None:
    infos = [ObjectInfo(str(n), 1, bucket="other" if n % 3 == 0 else "") for n in range(5)]
    found = [
        (bucket, [each.key for each in batch]) for bucket, batch in batch_by_bucket(infos, "b", 4)
    ]
    assert found == [("other", ["0", "3"]), ("b", ["1", "2"]), ("b", ["4"])]
    assert list(batch_by_bucket([], "b")) == []
    many = [ObjectInfo(str(n), 1) for n in range(1001)]
    assert [len(batch) for _, batch in batch_by_bucket(many, "b")] == [1000, 1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, []), (3, [(0, 3)]), (4, [(0, 4)]), (9, [(0, 4), (4, 4), (8, 1)])],
)
def test_ranges_cover_the_object(size: int, expected: list[tuple[int, int]]) -> None:
    assert list(split_ranges(size, 4)) == expected
