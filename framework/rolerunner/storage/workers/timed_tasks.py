"""Tasks of a few seconds, whatever their objects cost.

A task whose time is over returns the items that it has not begun, and later tasks get these. So the
first tasks may have many items, although nothing is known yet of what an item costs. Few tasks
matter, since a cluster spends as much on each as on a thousand copies: Spark's JVMs took 0.15 to
0.3 seconds of CPU time for each.

Items that are values and not lines stay in a task until it has ended, whatever its time: a worker
cannot send back what it opened. Their first tasks are small instead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain, takewhile
from typing import Any, Generic, Optional, TypeVar, Union

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.protocol import Outcome
from rolerunner.storage.workers.protocol import choose_wave_size

T = TypeVar("T")
TASK_SECONDS = 3.0
"""Time after which a task begins no more items: each slot reports its progress as often."""
_LEAST_SECONDS = 1.0
"""Time that the small tasks towards the end take."""
FIRST_ITEMS = 5000
"""Items of a task before any task has ended: at most a megabyte, most of which may come back."""
MAX_ITEMS_PER_TASK = 20_000
"""Such a task and its outcomes take some 20 MB of a worker's memory."""
MAX_LINES_PER_TASK = 50_000
"""Lines of a task that takes microseconds for each and returns lines or sums."""
_MAX_LINES_AT_FIRST = 200_000
"""Lines of all such tasks before any has ended: all may come back to this machine's memory."""
MAX_VALUES_PER_TASK = 5000
"""Tasks of values take some 1 kB an item on this machine, for each that runs or waits."""
MAX_TASK_BYTES = 256 << 20
"""Bytes of objects after which a task has no more of them, unless it has one object alone."""
_RECENT_TASKS = 4
"""Tasks of which the fastest tells how many items the next one gets.

The first task of a worker may be slow, and a task that is too large returns the rest.
"""
BEGUN_TOGETHER = 16
"""Objects that are begun before the next look at the clock, where many are in flight at once."""


class TimedItems(Generic[T]):
    """The items of a task, as an iterator that ends when the task's time is over.

    ``multiple`` items are begun together, the first ones in any case.
    """

    def __init__(self, items: Sequence[T], seconds: float, multiple: int) -> None:
        self._items = items
        self._multiple = multiple
        self._started_at = time.monotonic()
        self._seconds = seconds
        self._begun = 0

    def __iter__(self) -> Iterator[T]:
        while self._begun < len(self._items):
            if self._begun and self.elapsed() >= self._seconds:
                return
            start, self._begun = self._begun, self._begun + self._multiple
            yield from self._items[start : self._begun]

    def elapsed(self) -> float:
        """Returns the seconds since the task began."""
        return time.monotonic() - self._started_at

    def list_rest(self) -> Sequence[T]:
        """Returns the items that the task has not begun."""
        return self._items[self._begun :]


def create_rates() -> deque[float]:
    """Returns room for the rates of recent tasks."""
    return deque(maxlen=_RECENT_TASKS)


@dataclass
class TaskSizes:
    """Chooses how many items a task gets, so that it takes about ``TASK_SECONDS``.

    ``total`` is the number of items of all tasks, as far as it is known, ``multiple`` what a task's
    number is rounded up to. ``least`` and ``first`` are the smallest and the largest number before
    any task has ended, ``most`` is the largest afterwards. ``rates`` are those of recent tasks,
    items a second, which operations of one kind may share.
    """

    total: int
    multiple: int = 1
    least: int = 1
    first: int = field(default_factory=lambda: FIRST_ITEMS)
    most: int = field(default_factory=lambda: MAX_ITEMS_PER_TASK)
    drawn: int = 0
    rates: deque[float] = field(default_factory=create_rates)

    def add_task(self, count: int, seconds: float) -> None:
        """Adds a task that has ended."""
        self.rates.append(count / max(seconds, 0.001))

    @classmethod
    def of_light_items(cls, total: int, multiple: int, slots: int) -> TaskSizes:
        """Returns the sizes for lines that take microseconds each, as far as it is known."""
        most = MAX_LINES_PER_TASK
        first = max(FIRST_ITEMS, min(most, _MAX_LINES_AT_FIRST // slots))
        return cls(total, multiple, first=first, most=most)

    def choose(self, slots: int) -> int:
        """Returns the number of items of the next task.

        Tasks become smaller towards the end, so that all slots end at about the same time. Before
        any has ended they are alike: what is too much for the time of one comes back.
        """
        wanted, least, left = self.first, self.least, self.total
        if self.rates:
            rate = max(self.rates)
            wanted, least = round(rate * TASK_SECONDS), round(rate * _LEAST_SECONDS)
            left -= self.drawn
        fair = -(-left // slots)
        chosen = min(wanted, max(fair, least), self.most)
        return -(-max(chosen, 1) // self.multiple) * self.multiple


class TaskFeed(Generic[T]):
    """Divides items into tasks, and gives out again what a task returned.

    ``items`` are pairs of an item and the bytes of its object. ``slots`` returns the number of
    tasks that can run at once now. Outcomes among the items need no task: ``take_ended`` returns
    them.
    """

    def __init__(
        self,
        items: Iterator[tuple[Union[T, Outcome], int]],
        sizes: TaskSizes,
        slots: Callable[[], int],
    ) -> None:
        self._items = items
        self._sizes = sizes
        self._slots = slots
        self._returned: deque[tuple[Union[T, Outcome], int]] = deque()
        self._ended: list[Outcome] = []
        self._running = 0

    def create_waves(
        self, create_task: Callable[[list[T]], Any]
    ) -> Iterator[Optional[Sequence[Any]]]:
        """Yields waves of tasks: one with a task for each slot, then small ones, several at once.

        What the first wave can hold is done by one job of the cluster, if its tasks have the time.
        A wave is empty if outcomes alone came, and None while there is nothing to give out, but
        running tasks may return something.
        """
        slots = self._slots()
        wave = self._fill_wave(create_task, [self._sizes.choose(slots)] * slots)
        while True:
            self._running += len(wave)
            if wave or self._ended:
                yield wave
            elif self._running:
                yield None
            else:
                return
            slots = self._slots()
            sizes = (self._sizes.choose(slots) for _ in range(choose_wave_size(slots)))
            wave = self._fill_wave(create_task, sizes)

    def _fill_wave(
        self, create_task: Callable[[list[T]], Any], sizes: Iterable[int]
    ) -> Sequence[Any]:
        """Returns tasks of these sizes, as far as there are items."""
        drawn = takewhile(bool, map(self._draw, sizes))
        return [create_task(items) for items in drawn]

    def add_result(self, count: int, seconds: float, rest: Iterable[tuple[T, int]]) -> None:
        """Adds what a task has done, and takes back the items that it has not begun."""
        self._running -= 1
        self._sizes.add_task(count, seconds)
        before = len(self._returned)
        self._returned.extend(rest)
        self._sizes.drawn -= len(self._returned) - before

    def take_ended(self) -> Sequence[Outcome]:
        """Returns the outcomes that have come among the items since the last time."""
        ended, self._ended = self._ended, []
        return ended

    def _draw(self, count: int) -> list[T]:
        """Draws the items of one task, up to a number or the bytes of a task."""
        drawn: list[T] = []
        size = 0
        # chain, since 'yield from' in a generator would end the items with the task
        for item, of_object in chain(self._take_returned(), self._items):
            if isinstance(item, Outcome):
                self._ended.append(item)
                self._sizes.drawn += 1
                if len(self._ended) >= MAX_ITEMS_PER_TASK:
                    break
                continue
            if drawn and size + of_object > MAX_TASK_BYTES:
                self._returned.appendleft((item, of_object))
                break
            drawn.append(item)
            size += of_object
            if len(drawn) >= count:
                break
        self._sizes.drawn += len(drawn)
        return drawn

    def _take_returned(self) -> Iterator[tuple[Union[T, Outcome], int]]:
        while self._returned:
            yield self._returned.popleft()
