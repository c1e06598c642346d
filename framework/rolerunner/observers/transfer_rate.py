"""Measures how fast a step proceeds, and how long the rest takes."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from rolerunner.events import StepProgress

ITEM = "item"
_WINDOW_SECONDS = 10.0
"""The rate is that of so many seconds."""
_MIN_SECONDS = 1.0
"""Seconds until there is a rate."""


class ProgressMeter:
    """The latest progress of a step, and its rate over the last ten seconds."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.latest: Optional[StepProgress] = None
        self._samples: deque[tuple[float, int, int]] = deque()
        self._clear_samples(0, 0)

    def update(self, progress: StepProgress) -> None:
        """Takes the step's latest progress."""
        latest, now = self.latest, time.monotonic()
        if latest is not None and _went_back(latest, progress):  # in another attempt
            self._clear_samples(progress.objects, progress.bytes)
        self.latest = progress
        self._samples.append((now, progress.objects, progress.bytes))
        while len(self._samples) > 1 and now - self._samples[1][0] > _WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def seconds(self) -> float:
        """Seconds since the step started."""
        return time.monotonic() - self.started

    @property
    def bytes_per_second(self) -> float:
        """Bytes a second; 0 while it is unknown."""
        return self._measure_rate(2)

    @property
    def objects_per_second(self) -> float:
        """Objects a second; 0 while it is unknown. Items take long: theirs is since the start."""
        latest = self.latest
        if latest is not None and latest.unit == ITEM:
            return latest.objects / self.seconds if self.seconds >= _MIN_SECONDS else 0.0
        return self._measure_rate(1)

    @property
    def is_by_bytes(self) -> bool:
        """True if the bytes tell how much is done: they move within a large object, too."""
        latest = self.latest
        return bool(latest and latest.total_bytes and (latest.bytes or not latest.objects))

    @property
    def share(self) -> Optional[float]:
        """The share that is done, 0 to 1; None while the total is unknown."""
        done, total, _ = self._find_amounts()
        return min(done / total, 1.0) if total else None

    @property
    def seconds_left(self) -> Optional[float]:
        """Seconds that the rest takes at the present rate; None while that is unknown."""
        done, total, rate = self._find_amounts()
        return (total - done) / rate if rate > 0 and total > done else None

    def _find_amounts(self) -> tuple[int, int, float]:
        """Returns what is done, the total, and the rate: bytes, or else objects."""
        latest = self.latest
        if latest is None:
            return 0, 0, 0.0
        if self.is_by_bytes:
            return latest.bytes, latest.total_bytes, self.bytes_per_second
        return latest.objects, latest.total_objects, self.objects_per_second

    def _measure_rate(self, field: int) -> float:
        since, count = self._samples[0][0], self._samples[0][field]
        seconds = time.monotonic() - since
        if seconds < _MIN_SECONDS:
            return 0.0
        return float(self._samples[-1][field] - count) / seconds

    def _clear_samples(self, objects: int, count: int) -> None:
        self._samples.clear()
        self._samples.append((time.monotonic(), objects, count))


class SparseProgress:
    """Selects the progress of each step that is shown: now and then, and not of short steps."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._meters: dict[str, ProgressMeter] = {}
        self._due: dict[str, float] = {}

    def add_step(self, step_id: str) -> None:
        """Adds a step that starts."""
        self._meters[step_id] = ProgressMeter()
        self._due[step_id] = time.monotonic() + self._interval

    def update(self, progress: StepProgress) -> Optional[ProgressMeter]:
        """Takes the progress of a step; returns its meter if it is to be shown now."""
        meter = self._meters.get(progress.step_id)
        if meter is None:
            return None
        meter.update(progress)
        now = time.monotonic()
        if now < self._due[progress.step_id]:
            return None
        self._due[progress.step_id] = now + self._interval
        return meter

    def remove_step(self, step_id: str) -> None:
        """Removes a step that ended."""
        self._meters.pop(step_id, None)
        self._due.pop(step_id, None)


def _went_back(before: StepProgress, now: StepProgress) -> bool:
    return now.bytes < before.bytes or now.objects < before.objects
