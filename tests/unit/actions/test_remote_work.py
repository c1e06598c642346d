"""Polls become rarer, and work is stopped once nobody waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.remote_work import (
    forget_work,
    iter_growing_polls,
    note_started_work,
    read_started_work,
    shorten_text,
    stop_unless_done,
)
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import Step
from rolerunner.run.work_notes import StartedWork, WorkNotes
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from pathlib import Path


class Waits(Cancel):
    """Notes the waits without waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return super().wait(0)


def test_polls_become_rarer_up_to_the_interval(tmp_path: Path) -> None:
    cancel = Waits()
    polls = iter_growing_polls(make_context(tmp_path, cancel=cancel), 10.0, 3600.0)
    assert [next(polls) for _ in range(15)] == list(range(1, 16))
    assert cancel.waits[0] <= 0.3
    assert 8 <= cancel.waits[-1] <= 12
    assert all(before * 0.9 < after for before, after in zip(cancel.waits[:6], cancel.waits[1:7]))
    cancel.set()
    with pytest.raises(StepError, match="stopped before it was done"):
        next(polls)


def test_polls_end_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    assert len(list(iter_growing_polls(make_context(tmp_path), 0.01, 0.05))) >= 2
    assert time.monotonic() - started < 5


def test_work_is_stopped_and_forgotten(tmp_path: Path) -> None:
    recorded, notes, stopped = Recorded(), WorkNotes(), []
    work = StartedWork("it", Step("it", "probe", {}), "r", dict, notes)
    context = make_context(tmp_path, recorded, started_work=work)
    with stop_unless_done(context, "query q", lambda: stopped.append(1)):
        note_started_work(context, "q")
    assert (stopped, read_started_work(context)) == ([], "q")
    with (
        pytest.raises(KeyboardInterrupt),
        stop_unless_done(context, "query q", lambda: stopped.append(1)),
    ):
        raise KeyboardInterrupt
    assert (stopped, read_started_work(context)) == ([1], "")
    assert recorded.notes == [("info", "query q was stopped", {})]


def test_failures_of_the_end_are_warnings(tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise StepError("no answer")

    recorded = Recorded()
    work = StartedWork("it", Step("it", "probe", {}), "r", dict, WorkNotes())
    context = make_context(tmp_path, recorded, started_work=work)
    note_started_work(context, "q")
    work.notes.write = fail
    with pytest.raises(StepError, match="first"), stop_unless_done(context, "query q", fail):
        raise StepError("first")
    assert [(level, values) for level, _, values in recorded.notes] == [
        ("warning", {"reason": "no answer"}),
        ("warning", {"reason": "no answer"}),
    ]


def test_a_context_without_notes(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    note_started_work(context, "q")
    forget_work(context)
    assert read_started_work(context) == ""
    assert (shorten_text(None), shorten_text(" a "), shorten_text("abc", 2)) == (None, "a", "ab...")
