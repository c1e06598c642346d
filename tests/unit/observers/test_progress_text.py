"""The words for the progress of a step."""

from __future__ import annotations

import time
from typing import Optional

import pytest

from rolerunner.events import StepProgress
from rolerunner.observers.progress_text import format_progress
from rolerunner.observers.transfer_rate import ProgressMeter

MIB, GIB = 1 << 20, 1 << 30


def progress(
    monkeypatch: pytest.MonkeyPatch, event: Optional[StepProgress], seconds: float
) -> ProgressMeter:
    """Returns the meter of a step that came so far in so many seconds."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    meter = ProgressMeter()
    now += seconds
    if event is not None:
        meter.update(event)
    return meter


@pytest.mark.parametrize(
    ("event", "seconds", "text"),
    [
        (None, 3.9, "4 s"),
        (None, 200.0, "3 min 20 s"),
        (
            StepProgress("a", 0, 512 * MIB, 1, 2 * GIB),
            4,
            "512.0 MiB of 2.0 GiB, 128.0 MiB/s, 12 s left",
        ),
        (StepProgress("a", 0, GIB, 1, 2 * GIB), 0.5, "1.0 of 2.0 GiB, 0 s"),
        (
            StepProgress("a", 7, GIB, 1000, 200 * GIB),
            8,
            "7 of 1,000 objects, 1.0 of 200.0 GiB, 128.0 MiB/s, 26 min 40 s left",
        ),
        (StepProgress("a", 500, 0, 1000, GIB), 10, "500 of 1,000 objects, 50 objects/s, 10 s left"),
        (StepProgress("a", 2000, 0), 4, "2,000 objects, 500 objects/s, 4 s"),
        (
            StepProgress("a", 3, 4 * MIB, 30, unit="item"),
            20,
            "3 of 30 items, 4.0 MiB, 204.8 KiB/s, 3 min left",
        ),
    ],
)
def test_texts(
    event: Optional[StepProgress], seconds: float, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert format_progress(progress(monkeypatch, event, seconds)) == text


def test_what_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = progress(monkeypatch, StepProgress("a", 7, GIB, 1000, 200 * GIB), 8)
    assert [format_progress(meter, width) for width in (60, 48, 40, 20, 5)] == [
        "1.0 of 200.0 GiB, 128.0 MiB/s, 26 min 40 s left",
        "1.0 of 200.0 GiB, 128.0 MiB/s, 26 min 40 s left",
        "1.0 of 200.0 GiB, 26 min 40 s left",
        "1.0 of 200.0 GiB",
        "1.0 of 200.0 GiB",
    ]
