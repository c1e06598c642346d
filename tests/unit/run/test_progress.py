"""Progress events are throttled."""

from __future__ import annotations

import time
from itertools import chain, repeat

import pytest

from rolerunner.events import Event, StepProgress
from rolerunner.run.progress import INTERVAL_SECONDS, throttle


def test_events_within_the_interval_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = chain([100.0, 100.05, 100.2], repeat(100.2 + INTERVAL_SECONDS / 2))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    events: list[Event] = []
    report = throttle(events.append)
    for number in range(4):
        report(StepProgress("a", number, 0))
    assert [each.objects for each in events if isinstance(each, StepProgress)] == [0, 2]
