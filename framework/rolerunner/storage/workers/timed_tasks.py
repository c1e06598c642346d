"""Tasks of a few seconds, whatever their objects cost.

A task whose time is over returns the items that it has not begun, and later tasks get these. So the
first tasks may have many items, although nothing is known yet of what an item costs. Few tasks
matter, since a cluster spends as much on each as on a thousand copies: Spark's JVMs took 0.15 to
0.3 seconds of CPU time for each.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain
from typing import Any, Generic, Optional, TypeVar

from rolerunner.lazy_dataclass import dataclass
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


@dataclass
class TaskSizes:
    """Chooses how many items a task gets, so that it takes about ``TASK_SECONDS``.

    ``total`` is the number of items of all tasks, ``multiple`` what a task's number is rounded up
    to. ``least`` and ``first`` are the smallest and the largest number before any task has ended.
    """

    total: int
    multiple: int = 1
    least: int = 1
    first: int = field(default_factory=lambda: FIRST_ITEMS)
    drawn: int = 0
    _rates: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_TASKS))

    def add_task(self, count: int, seconds: float) -> None:
        """Adds a task that has ended."""
        self._rates.append(count / max(seconds, 0.001))

    def choose(self, slots: int) -> int:
        """Returns the number of items of the next task.

        Tasks become smaller towards the end, so that all slots end at about the same time.
        """
        wanted, least = self.first, self.least
        if self._rates:
            rate = max(self._rates)
            wanted, least = round(rate * TASK_SECONDS), round(rate * _LEAST_SECONDS)
        fair = -(-(self.total - self.drawn) // (2 * slots))
        chosen = min(wanted, max(fair, least), MAX_ITEMS_PER_TASK)
        return -(-max(chosen, 1) // self.multiple) * self.multiple


class TaskFeed(Generic[T]):
    """Divides items into tasks, and gives out again what a task returned.

    ``items`` are pairs of an item and the bytes of its object. ``slots`` returns the number of
    tasks that can run at once now.
    """

    def __init__(
        self, items: Iterator[tuple[T, int]], sizes: TaskSizes, slots: Callable[[], int]
    ) -> None:
        self._items = items
        self._sizes = sizes
        self._slots = slots
        self._returned: deque[tuple[T, int]] = deque()
        self._running = 0

    def create_waves(
        self, create_task: Callable[[list[T]], Any]
    ) -> Iterator[Optional[Sequence[Any]]]:
        """Yields small waves of tasks, several of which run at once.

        Yields None while there is nothing to give out, but running tasks may return something.
        """
        while True:
            slots = self._slots()
            wave: list[Any] = []
            while len(wave) < choose_wave_size(slots):
                drawn = self._draw(self._sizes.choose(slots))
                if not drawn:
                    break
                wave.append(create_task(drawn))
            self._running += len(wave)
            if wave:
                yield wave
            elif self._running:
                yield None
            else:
                return

    def add_result(self, count: int, seconds: float, rest: Iterable[tuple[T, int]]) -> None:
        """Adds what a task has done, and takes back the items that it has not begun."""
        self._running -= 1
        self._sizes.add_task(count, seconds)
        before = len(self._returned)
        self._returned.extend(rest)
        self._sizes.drawn -= len(self._returned) - before

    def _draw(self, count: int) -> list[T]:
        """Draws the items of one task, up to a number or the bytes of a task."""
        drawn: list[T] = []
        size = 0
        # chain, since 'yield from' in a generator would end the items with the task
        for item, of_object in chain(self._take_returned(), self._items):
            if drawn and size + of_object > MAX_TASK_BYTES:
                self._returned.appendleft((item, of_object))
                break
            drawn.append(item)
            size += of_object
            if len(drawn) >= count:
                break
        self._sizes.drawn += len(drawn)
        return drawn

    def _take_returned(self) -> Iterator[tuple[T, int]]:
        while self._returned:
            yield self._returned.popleft()
