"""Work on a state that does not answer."""

from __future__ import annotations

import threading
import time

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.run.state import state_work
from rolerunner.run.state.state_work import StateWork


def fail() -> None:
    raise StepError("no route", type="SlowDown")


def test_work_returns_or_raises() -> None:
    work = StateWork(Cancel())
    assert work.execute(lambda: 7) == 7
    with pytest.raises(StepError, match="no route"):
        work.execute(fail)
    assert not work.hangs


def test_work_that_hangs_is_abandoned_once_the_run_is_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_work, "GRACE_SECONDS", 0.05)
    cancel, ends = Cancel(), threading.Event()
    work = StateWork(cancel)
    threading.Timer(0.05, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(StepError) as failed:
        work.execute(lambda: ends.wait(30))
    assert time.monotonic() - started < 20
    assert failed.value.still_runs
    assert work.hangs
    with pytest.raises(StepError):
        work.execute(lambda: ends.wait(30))
    assert work.hangs, "also after other work"
    ends.set()


def test_work_may_end_within_the_grace_of_a_run_that_is_to_stop() -> None:
    cancel = Cancel()
    cancel.set()
    work = StateWork(cancel)
    assert work.execute(lambda: "released") == "released"
    assert not work.hangs
