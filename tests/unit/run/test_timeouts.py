"""Work in the background, with a timeout."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import Step
from rolerunner.run.timeouts import AbandonedCalls, BackgroundWork, run_with_timeout


def test_the_result_or_the_exception_of_the_work_comes_back() -> None:
    assert run_with_timeout(lambda: 7, Cancel(), None) == 7
    with pytest.raises(ZeroDivisionError):
        run_with_timeout(lambda: 1 / 0, Cancel(), 10)


@pytest.mark.parametrize(("seconds", "kind"), [(0.0, "Timeout"), (None, "Stopped")])
def test_work_that_ignores_its_end_is_abandoned(seconds: Any, kind: str, tmp_path: Path) -> None:
    release, cancel = threading.Event(), Cancel()
    if seconds is None:
        cancel.set()
    with pytest.raises(StepError, match="was abandoned") as raised:
        run_with_timeout(release.wait, cancel, seconds, 0)
    release.set()
    assert (raised.value.type, raised.value.still_runs, cancel.is_set()) == (kind, True, True)


def test_work_that_succeeds_within_its_grace_is_done() -> None:
    cancel = Cancel()

    def finish() -> str:
        cancel.wait(60)
        return "done"

    assert run_with_timeout(finish, cancel, 0.0, 60) == "done"


def test_work_that_fails_within_its_grace_has_timed_out() -> None:
    cancel = Cancel()

    def fail() -> None:
        cancel.wait(60)
        raise ValueError

    with pytest.raises(StepError, match="not done within") as raised:
        run_with_timeout(fail, cancel, 0.0, 60)
    assert not raised.value.still_runs


def test_an_abandoned_call_is_refused_only_while_it_runs() -> None:
    calls, release = AbandonedCalls(), threading.Event()
    work: BackgroundWork[bool] = BackgroundWork(release.wait, "test")
    step, action = Step("a", "s3.list", {}), object()
    calls.add(step, action, work)  # type: ignore[arg-type]
    calls.check_ended(Step("b", "s3.list", {}), action)  # type: ignore[arg-type]
    with pytest.raises(StepError, match="still runs in this process"):
        calls.check_ended(step, action)  # type: ignore[arg-type]
    release.set()
    assert work.wait(60)
    calls.check_ended(step, action)  # type: ignore[arg-type]
