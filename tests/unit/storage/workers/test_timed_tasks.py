"""Tasks by time: how many items they get, and what becomes of those that they do not begin."""

from __future__ import annotations

import pytest

from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Outcome
from rolerunner.storage.workers.timed_tasks import (
    FIRST_ITEMS,
    MAX_ITEMS_PER_TASK,
    MAX_LINES_PER_TASK,
    MAX_TASK_BYTES,
    TaskFeed,
    TaskSizes,
    TimedItems,
)


def test_a_task_begins_nothing_after_its_time() -> None:
    late = TimedItems(range(100), 0.0, 30)
    assert list(late) == list(range(30))  # the first ones, whatever the time
    assert list(late.list_rest()) == list(range(30, 100))
    in_time = TimedItems(range(100), 60.0, 30)
    assert list(in_time) == list(range(100))
    assert list(in_time.list_rest()) == []


def test_tasks_take_three_seconds_and_less_towards_the_end() -> None:
    sizes = TaskSizes(100_000, least=500)
    assert sizes.choose(2) == FIRST_ITEMS
    assert sizes.choose(50) == 2000
    assert sizes.choose(1000) == 500
    assert TaskSizes(2, 1).choose(2) == 1  # each item may take long
    sizes.add_task(1000, 0.5)
    assert sizes.choose(2) == 6000
    sizes.drawn = 90_000
    assert sizes.choose(2) == 5000
    sizes.drawn = 99_990
    assert sizes.choose(2) == 2000
    sizes.drawn = 0
    sizes.add_task(500, 60)  # a worker that starts
    assert sizes.choose(2) == 6000
    for _ in range(4):
        sizes.add_task(100, 1)  # these objects take longer
    assert sizes.choose(2) == 300
    slow = TaskSizes(100_000, multiple=10)
    slow.add_task(10, 30)
    assert slow.choose(4) == 10
    fast = TaskSizes(10**9)
    fast.add_task(20_000, 0.1)
    assert fast.choose(4) == MAX_ITEMS_PER_TASK
    deletions = TaskSizes(10**6, 1000)
    deletions.add_task(1200, 1)
    assert deletions.choose(4) == 4000


def test_light_lines_are_one_task_for_each_slot() -> None:
    assert TaskSizes.of_light_items(60_000, 1000, 2).choose(2) == 30_000
    assert TaskSizes.of_light_items(10**9, 1, 2).choose(2) == MAX_LINES_PER_TASK
    assert TaskSizes.of_light_items(10**9, 1, 20).choose(20) == 10_000  # all may come back
    assert TaskSizes.of_light_items(10**9, 1, 400).choose(400) == FIRST_ITEMS
    sizes = TaskSizes.of_light_items(60_000, 1, 2)
    feed = TaskFeed(((b"", 0) for _ in range(60_000)), sizes, lambda: 2)
    waves = feed.create_waves(len)
    assert [next(waves), next(waves)] == [[30_000, 30_000], None]


def test_outcomes_among_the_items_need_no_task() -> None:
    skipped = [Outcome(S3Uri("b", str(number)), status="skipped") for number in range(3)]
    items: list[tuple[str | Outcome, int]] = [
        (skipped[0], 0),
        ("a", 0),
        (skipped[1], 0),
        ("b", 0),
        (skipped[2], 0),
    ]
    feed: TaskFeed[str] = TaskFeed(iter(items), TaskSizes(5, first=1), lambda: 1)
    waves = feed.create_waves("".join)
    assert next(waves) == ["a"]
    assert feed.take_ended() == skipped[:1]
    assert next(waves) == ["b"]
    assert next(waves) == []
    assert feed.take_ended() == skipped[1:]
    assert next(waves) is None
    feed.add_result(2, 1.0, ())
    assert next(waves) is None
    feed.add_result(2, 1.0, ())
    assert next(waves, "end") == "end"


def test_items_are_drawn_up_to_a_number_or_the_bytes_of_a_task() -> None:
    large = MAX_TASK_BYTES
    items = [("a", 1), ("b", large), ("c", large - 2), ("d", 2), ("e", 1), ("f", 1)]
    feed = TaskFeed(iter(items), TaskSizes(6, least=2, first=2), lambda: 1)
    assert [wave for wave, _ in zip(feed.create_waves("".join), range(4))] == [
        ["a"], ["b"], ["cd"], ["ef"],
    ]  # fmt: skip


@pytest.mark.parametrize("done", [1, 7])
def test_what_a_task_returns_is_given_out_again(done: int) -> None:
    """The waves end when nothing is left in any task, and no item is in two of them at once."""
    feed = TaskFeed(((number, 0) for number in range(50)), TaskSizes(50, first=20), lambda: 4)
    waves = feed.create_waves(tuple)
    running: list[tuple[int, ...]] = []
    ended: list[int] = []
    waits = 0
    for wave in waves:
        waits += wave is None
        running += wave or ()
        if wave is None or len(running) > 2:
            task = running.pop(0)
            ended += task[:done]
            feed.add_result(done, 1.0, ((each, 0) for each in task[done:]))
    assert not running
    assert sorted(ended) == list(range(50))
    assert waits
