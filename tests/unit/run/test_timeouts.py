"""Work in the background, with a timeout."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import Mark, StepError
from rolerunner.model import Step
from rolerunner.run import timeouts
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
    marked = Step("a", "s3.list", {}, mark=Mark("other.yaml", 1, 1))
    for other, call in ((Step("b", "s3.list", {}), action), (marked, action), (step, object())):
        calls.check_ended(other, call)  # type: ignore[arg-type]
    with pytest.raises(StepError, match="still runs in this process"):
        calls.check_ended(step, action)  # type: ignore[arg-type]
    release.set()
    assert work.wait(60)
    calls.check_ended(step, action)  # type: ignore[arg-type]


class FakeWork(BackgroundWork[str]):
    """Work that ends with one of the waits for it, and moves a clock."""

    def __init__(self, left: int) -> None:
        self.left, self.now = left, 100.0
        self.waits: list[float] = []
        self._outcome = ["done"]

    def wait(self, seconds: float = 0.0) -> bool:
        self.waits.append(round(seconds, 6))
        self.now += seconds
        return len(self.waits) >= self.left


@pytest.mark.parametrize(
    ("seconds", "left", "waits"),
    [
        (None, 3, [0.1, 0.1, 0.1]),
        (0.25, 3, [0.1, 0.1, 0.05]),
        (0.25, 4, [0.1, 0.1, 0.05, 3.0]),
        (0.0, 1, [3.0]),
        (0.0625, 1, [0.0625]),
    ],
)
def test_work_is_waited_for_in_short_turns_and_then_for_its_grace(
    seconds: Any, left: int, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = FakeWork(left)
    monkeypatch.setattr(timeouts, "time", SimpleNamespace(monotonic=lambda: work.now))
    assert run_with_timeout(work, Cancel(), seconds) == "done"
    assert work.waits == waits


def test_work_that_still_runs_has_not_succeeded() -> None:
    release = threading.Event()
    work: BackgroundWork[bool] = BackgroundWork(release.wait, "test")
    assert (work.has_succeeded, work.wait()) == (False, False)
    release.set()
    assert work.wait(60)
    assert work.has_succeeded


def test_a_look_at_work_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[float] = []
    work: BackgroundWork[None] = BackgroundWork(lambda: None, "test")
    monkeypatch.setattr(
        work, "_thread", SimpleNamespace(join=joined.append, is_alive=lambda: False)
    )
    assert work.wait()
    assert joined == [0.0]
