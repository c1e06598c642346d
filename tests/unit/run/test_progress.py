"""Progress events are throttled."""

from __future__ import annotations

import time
from itertools import chain, count, repeat

import pytest

from rolerunner.events import Event, StepProgress
from rolerunner.run.progress import INTERVAL_SECONDS, ItemsProgress, throttle


def test_events_within_the_interval_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = chain([100.0, 100.05, 100.2], repeat(100.2 + INTERVAL_SECONDS / 2))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    events: list[Event] = []
    report = throttle(events.append)
    for number in range(4):
        report(StepProgress("a", number, 0))
    assert [each.objects for each in events if isinstance(each, StepProgress)] == [0, 2]


def test_items_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = count(100.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    events: list[Event] = []
    progress = ItemsProgress("a", 2, events.append)
    progress.update(0, StepProgress("a", 3, 10, 5, 100))
    progress.update(1, StepProgress("a", 1, 7))
    progress.update(0, StepProgress("a", 4, 30, 5, 100))
    progress.end_item()
    told = [each for each in events if isinstance(each, StepProgress)]
    assert {(each.total_objects, each.unit) for each in told} == {(2, "item")}
    amounts = [(each.objects, each.bytes) for each in told]
    assert amounts == [(0, 0), (0, 10), (0, 17), (0, 37), (1, 37)]


def test_events_follow_after_the_interval_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.05, INTERVAL_SECONDS, INTERVAL_SECONDS])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    events: list[Event] = []
    report = throttle(events.append)
    for number in range(3):
        report(StepProgress("a", number, 0))
    assert events == [StepProgress("a", 1, 0)]
