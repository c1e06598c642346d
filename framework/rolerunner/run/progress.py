"""Limits how often the progress of a step is reported, and adds up that of its items."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rolerunner.events import StepProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.events import Event

INTERVAL_SECONDS = 0.1


def throttle(notify: Callable[[Event], None]) -> Callable[[StepProgress], None]:
    """Returns a function that drops events which follow too closely on the one before."""
    last = 0.0

    def report(event: StepProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= INTERVAL_SECONDS:
            last = now
            notify(event)

    return report


class ItemsProgress:
    """Adds up the progress of the items of a step: those that ended, and the bytes of all.

    Thread-safe.
    """

    def __init__(self, step_id: str, total: int, notify: Callable[[Event], None]) -> None:
        self._step_id, self._total = step_id, total
        self._report = throttle(notify)
        self._bytes: dict[int, int] = {}
        self._ended = self._moved = 0
        self._lock = threading.Lock()
        self._notify()

    def update(self, number: int, progress: StepProgress) -> None:
        """Takes the progress of the item with this number."""
        with self._lock:
            self._moved += progress.bytes - self._bytes.get(number, 0)
            self._bytes[number] = progress.bytes
            self._notify()

    def end_item(self) -> None:
        """Counts an item that has ended."""
        with self._lock:
            self._ended += 1
            self._notify()

    def _notify(self) -> None:
        self._report(
            StepProgress(self._step_id, self._ended, self._moved, self._total, unit="item")
        )
