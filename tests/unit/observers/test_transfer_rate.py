"""Rates and times left of steps in progress."""

from __future__ import annotations

import time
from typing import Optional

import pytest

from rolerunner.events import StepProgress
from rolerunner.observers.transfer_rate import ProgressMeter, SparseProgress


class Clock:
    """A clock that the test advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    meter = ProgressMeter()
    assert (meter.share, meter.seconds_left, meter.bytes_per_second) == (None, None, 0)
    for second in range(1, 31):
        clock.now += 1
        moved = second * 100 if second <= 10 else 1000 + (second - 10) * 10
        meter.update(StepProgress("a", 0, moved, 1, 2000))
    assert meter.bytes_per_second == pytest.approx(10, rel=0.1)
    assert meter.seconds_left == pytest.approx(80, rel=0.1)
    assert meter.share == 0.6
    clock.now += 1000  # nothing came for long
    assert meter.bytes_per_second < 1


def test_another_attempt_starts_again(clock: Clock) -> None:
    meter = ProgressMeter()
    clock.now += 10
    meter.update(StepProgress("a", 3, 900, 4, 1000))
    meter.update(StepProgress("a", 0, 0, 4, 1000))
    clock.now += 2
    meter.update(StepProgress("a", 0, 100, 4, 1000))
    assert (meter.bytes_per_second, meter.share) == (50, 0.1)


@pytest.mark.parametrize(
    ("progress", "share", "left"),
    [
        (StepProgress("a", 5, 0, 10, 1000), 0.5, 10),  # a deletion moves no bytes
        (StepProgress("a", 0, 2000, 1, 1000), 1.0, None),  # parts were sent again
        (StepProgress("a", 5, 100), None, None),
        (StepProgress("a", 2, 100, 8, unit="item"), 0.25, 30),
    ],
)
def test_shares(
    progress: StepProgress, share: Optional[float], left: Optional[float], clock: Clock
) -> None:
    meter = ProgressMeter()
    clock.now += 10
    meter.update(progress)
    assert (meter.share, meter.seconds_left) == (share, left)


def test_progress_is_shown_now_and_then(clock: Clock) -> None:
    progress = SparseProgress(10)
    assert progress.update(StepProgress("unknown", 1, 1)) is None
    progress.add_step("a")
    shown = []
    for _ in range(25):
        clock.now += 1
        shown.append(progress.update(StepProgress("a", 1, 1)) is not None)
    assert [second for second, each in enumerate(shown, 1) if each] == [10, 20]
    progress.remove_step("a")
    assert progress.update(StepProgress("a", 1, 1)) is None
