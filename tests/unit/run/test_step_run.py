"""Running one step, and the result that it ends with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.actions.base import Action, OutputsWithWarning, StepContext
from rolerunner.errors import StepError
from rolerunner.events import StepStarted
from rolerunner.model import Failure, Permission, Role, Step, StepResult
from rolerunner.run import step_run
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.resume import NoState
from rolerunner.run.step_run import run_step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROLE = Role("arn:aws:iam::111122223333:role/reader", "reader")
STEP = Step("a", "probe", {}, {"role": ROLE})


class FakeSessions:
    """Names the session of a role."""

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"


class RecordingState(NoState):
    """Records what a run tells its state."""

    is_resumed = True

    def __init__(self) -> None:
        self.calls: list[str] = []

    def mark_begun(self, step: Step) -> None:
        self.calls.append(f"begun {step.id}")

    def clear_begun(self, step: Step, error: StepError) -> None:
        self.calls.append(f"cleared {step.id}: {error.message}")

    def explain_stop(self, error: StepError) -> StepError:
        return StepError(f"explained {error.message}", hint=error.hint, type=error.type)

    def record_result(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> StepResult:
        self.calls.append(f"recorded {step.id} {len(scope)} {len(left)}")
        return replace(result, reason="recorded")


def execute(
    work: Callable[[StepContext], Mapping[str, Any]],
    step: Step = STEP,
    state: Optional[NoState] = None,
) -> tuple[StepResult, list[Any]]:
    class Probe(Action):
        """Calls the test's work."""

        def run(self, context: StepContext) -> Mapping[str, Any]:
            return work(context)

        def permissions(self) -> Mapping[str, list[Permission]]:
            return {}

    events: list[Any] = []
    unused: Any = None
    sessions: Any = FakeSessions()
    environment = RunEnvironment({"probe": Probe}, sessions, unused, Path(), Path())
    context = RunContext("r", {}, environment, 1, events.append)
    return run_step(step, {"run": {}}, context, state or NoState()), events


def test_a_step_that_succeeds_has_its_outputs() -> None:
    result, events = execute(lambda _: {"n": 1})
    assert 0 <= result.seconds < 60
    assert replace(result, seconds=0.0) == StepResult(
        "a", "probe", "reader", "succeeded", 1, 0.0, {"n": 1}
    )
    assert events == [StepStarted(STEP, "session of reader")]


def test_a_step_without_a_role_has_no_session() -> None:
    step = Step("a", "probe", {})
    result, events = execute(lambda _: {}, step)
    assert result.role == ""
    assert events == [StepStarted(step, "")]


def test_a_warning_is_the_status_of_the_step() -> None:
    warning = Failure("T", "some failed")
    result, _ = execute(lambda _: OutputsWithWarning({"n": 1}, warning))
    assert (result.status, result.error, result.outputs) == ("warning", warning, {"n": 1})


def fail(_: StepContext) -> Mapping[str, Any]:
    raise StepError("broken", hint="mend it", type="Broken")


def test_a_failure_is_a_result() -> None:
    result, _ = execute(fail)
    assert (result.status, result.attempts, result.outputs) == ("failed", 1, {})
    assert result.error == Failure("Broken", "broken", "mend it")


def test_the_state_is_told_of_begin_and_end() -> None:
    state, resumed = RecordingState(), []

    def work(context: StepContext) -> Mapping[str, Any]:
        resumed.append(context.is_resumed)
        assert state.calls == ["begun a"]
        return {}

    result, _ = execute(work, state=state)
    assert (state.calls, resumed) == (["begun a", "recorded a 1 0"], [True])
    assert result.reason == "recorded"


def test_the_state_explains_why_a_step_failed() -> None:
    state = RecordingState()
    result, _ = execute(fail, state=state)
    assert state.calls == ["begun a", "cleared a: broken", "recorded a 1 0"]
    assert result.error == Failure("Broken", "explained broken", "mend it")


def test_the_seconds_of_a_step_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 101.23456])
    monkeypatch.setattr(step_run, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    assert execute(lambda _: {})[0].seconds == 1.235
