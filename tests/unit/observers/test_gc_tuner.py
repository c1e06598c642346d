"""When the collector is enabled during a run, by the calls that the tuner makes."""

from __future__ import annotations

import gc

import pytest

from rolerunner.actions import find_action, registry
from rolerunner.events import Event, RunFinished, RunStarted, StepStarted
from rolerunner.model import Job, Plan, RunResult, Step
from rolerunner.observers import gc_tuner
from rolerunner.observers.gc_tuner import GcTuner

START = RunStarted("r", Plan(Job("j", ()), (), ()))
END = RunFinished(RunResult("r", "j", "succeeded", "", 0.0, (), ()))


def step(action: str) -> StepStarted:
    return StepStarted(Step("a", action, {}), "")


@pytest.mark.parametrize(
    ("events", "calls"),
    [
        ([START], 0),
        ([START, step("s3.list")], 1),
        ([START, step("s3.list"), step("s3.copy")], 1),
        ([START, step("s3.list"), END], 2),
        ([START, step("python.call"), END], 1),
        ([START, step("python.call"), step("s3.list"), END], 1),
        ([START, step("of.another.package"), END], 2),
    ],
)
def test_the_process_is_tuned_at_the_first_step_and_the_end(
    events: list[Event], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[bool] = []
    monkeypatch.setattr(gc_tuner, "tune_for_one_run", lambda: tuned.append(gc.isenabled()))
    try:
        with GcTuner() as tuner:
            assert not gc.isenabled()
            for event in events:
                tuner.notify(event)
            assert len(tuned) == calls
        assert len(tuned) == max(calls, 1), "a run without a step is tuned at its end"
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("action", "expected"), [("s3.list", False), ("python.call", True), ("other.action", True)]
)
def test_code_of_others_is_remembered(
    action: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = type("Other", (registry()["s3.list"],), {"__module__": "others.action"})
    monkeypatch.setattr(
        gc_tuner, "find_action", lambda kind: other if kind == "other.action" else find_action(kind)
    )
    monkeypatch.setattr(gc_tuner, "tune_for_one_run", lambda: None)
    tuner = GcTuner()
    tuner.notify(step(action))
    assert tuner.is_foreign_code_called is expected
