"""A run from its roles to its result, whatever ends it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.actions.base import Action, StepContext
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RoleRefused, RolesRefused, StepError, UsageError
from rolerunner.events import Note, RoleWasRefused, RunFinished, RunStarted, StepFinished
from rolerunner.model import (
    JOB,
    Job,
    Notification,
    Permission,
    Plan,
    PlannedNotification,
    Role,
    RoleUse,
    RunResult,
    StateLocation,
    Step,
    Telemetry,
)
from rolerunner.redaction.secrets import register_secret
from rolerunner.run import runner
from rolerunner.run.environment import RunEnvironment
from rolerunner.run.resume import NoState, RunOptions
from rolerunner.run.runner import run
from rolerunner.spec.expressions import parse_template
from tests.webhook_server import serve_webhooks

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = Role("arn:aws:iam::111122223333:role/reader", "reader")
A = Step("a", "probe", {"text": "A"})
B = Step("b", "probe", {"text": "B"}, needs=("a",))
TELL = Step("tell", "probe", {"text": parse_template("${{ run.error }}")}, when="on_failure")


@pytest.fixture(autouse=True)
def _work_in_an_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of results go to the current folder here."""
    monkeypatch.chdir(tmp_path)


class FakeSessions:
    """Assumes every role but those that the test names."""

    on_assume: Any = None

    def __init__(self, *refused: str) -> None:
        self.refused = refused

    def assume(self, role: Role) -> None:
        if str(role) in self.refused:
            raise RoleRefused(f"{role} is refused", role=str(role), hint="trust it")

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"

    def client(self, role: Role, service: str, **_: Any) -> Any:
        raise StepError(f"no {service} for {role}")

    def find_ca_bundle(self) -> Optional[str]:
        return None

    def count_assume_calls(self, role: Role) -> int:
        return len(str(role))


class Bench:
    """Runs plans with one kind of action, whose work the test gives."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.said: list[str] = []
        self.sessions = FakeSessions()
        self.cancel = Cancel()
        self.on_event: Any = lambda _: None

    def notify(self, event: Any) -> None:
        self.events.append(event)
        self.on_event(event)

    def work(self, text: str, context: StepContext) -> Mapping[str, Any]:
        del context
        self.said.append(text)
        if text == "fail":
            raise StepError("it broke", hint="mend it", type="Broken")
        return {"said": text}

    def run(
        self,
        *steps: Step,
        roles: tuple[Role, ...] = (),
        options: Optional[RunOptions] = None,
        plan: Optional[Mapping[str, Any]] = None,
        start_workers: Any = None,
        **job: Any,
    ) -> RunResult:
        bench = self

        class Probe(Action):
            """Calls the test's work."""

            text: str = ""

            def run(self, context: StepContext) -> Mapping[str, Any]:
                return bench.work(self.text, context)

            def permissions(self) -> Mapping[str, list[Permission]]:
                return {}

        unused: Any = None
        sessions: Any = self.sessions
        more = {} if start_workers is None else {"start_workers": start_workers}
        environment = RunEnvironment(
            {"probe": Probe}, sessions, unused, Path(), Path(), [self], self.cancel, **more
        )
        planned = Plan(Job("j", steps, **job), (), roles, **(plan or {}))
        return run(planned, "r", environment, options)

    @property
    def result(self) -> RunResult:
        """The result that observers got."""
        (finished,) = [each for each in self.events if isinstance(each, RunFinished)]
        assert finished is self.events[-1], "nothing follows the end"
        result: RunResult = finished.result
        return result


@pytest.fixture
def bench() -> Bench:
    return Bench()


def statuses(result: RunResult) -> dict[str, str]:
    return {step.id: step.status for step in result.steps}


def test_the_result_has_the_steps_in_the_order_of_the_job_and_the_roles(bench: Bench) -> None:
    steps = (replace(A, needs=("b",)), Step("b", "probe", {}, {"role": ROLE}))
    result = bench.run(*steps, roles=(ROLE,), environment="prod")
    assert (result.run_id, result.job, result.status, result.error) == (
        "r",
        "j",
        "succeeded",
        None,
    )
    assert [step.id for step in result.steps] == ["a", "b"]
    assert result.roles == (RoleUse("reader", ROLE.arn, "session of reader", 6),)
    assert (result.environment, result.selected) == ("prod", ())
    assert 0 <= result.seconds < 60
    assert isinstance(bench.events[0], RunStarted)
    assert bench.result == result


def test_a_failed_step_is_a_part_of_the_result(bench: Bench) -> None:
    result = bench.run(replace(A, fields={"text": "fail"}), B, replace(TELL, needs=("b",)))
    assert result.status == "failed"
    assert statuses(result) == {"a": "failed", "b": "not_run", "tell": "succeeded"}
    assert bench.said == ["fail", "a: it broke"]
    assert result.error is None


def test_a_refused_role_lets_only_steps_for_failures_run(bench: Bench) -> None:
    bench.sessions = FakeSessions("reader")
    step = replace(A, roles={"role": ROLE})
    with pytest.raises(RolesRefused) as failed:
        bench.run(step, replace(TELL, needs=("a",)), roles=(ROLE,))
    assert failed.value.ran_any
    assert bench.said == ["reader is refused"]
    assert any(isinstance(each, RoleWasRefused) for each in bench.events)
    assert statuses(bench.result) == {"a": "not_run", "tell": "succeeded"}
    assert bench.result.status == "failed"
    error = bench.result.error
    assert error is not None
    assert error.message == "1 role was refused, only steps for failures ran: reader is refused"
    bench = Bench()
    bench.sessions = FakeSessions("reader")
    with pytest.raises(RolesRefused) as failed:
        bench.run(step, roles=(ROLE,))
    assert not failed.value.ran_any
    assert bench.said == []


def test_a_role_that_notifications_alone_need_may_be_refused(bench: Bench) -> None:
    bench.sessions = FakeSessions("reader")
    result = bench.run(A, roles=(ROLE,), plan={"optional_roles": frozenset({ROLE})})
    assert result.status == "succeeded"


def test_roles_may_be_assumed_when_they_are_needed(bench: Bench) -> None:
    bench.sessions = FakeSessions("reader")
    result = bench.run(replace(A, roles={"role": ROLE}), roles=(ROLE,), assume="lazily")
    assert result.status == "succeeded", "the step asks for no session"


def test_a_cancelled_run_is_stopped(bench: Bench) -> None:
    bench.cancel.set()
    result = bench.run(A, options=RunOptions(only=frozenset({"a"})))
    assert (result.status, statuses(result), bench.said) == ("stopped", {"a": "not_run"}, [])
    assert result.selected == ("a",)
    reads = replace(B, references=frozenset({"a"}))
    result = bench.run(A, reads, options=RunOptions(only=frozenset({"b"})))
    assert result.status == "stopped", "a selection is not checked for a run that does nothing"


def test_a_passed_deadline_fails_the_run(bench: Bench) -> None:
    result = bench.run(A, deadline=0)
    assert (result.status, statuses(result)) == ("failed", {"a": "not_run"})
    assert Bench().run(A, deadline=60).status == "succeeded"


def test_an_interrupt_is_a_stopped_run_with_a_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()

    def work(text: str, context: StepContext) -> Mapping[str, Any]:
        if text == "B":
            waits.wait(20)
            context.cancel.wait(20)
            raise StepError("stopped", type="Stopped")
        return {}

    class Interrupted(NoState):
        def restore_result(self, step: Step, read_scope: Any, repeated: set[str]) -> Any:
            if step.id == "c":
                waits.set()
                raise KeyboardInterrupt

    bench.work = work  # type: ignore[method-assign]
    monkeypatch.setattr(runner, "open_state", lambda *_: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        bench.run(A, B, Step("c", "probe", {}, needs=("a",)))
    result = bench.result
    assert result.status == "stopped"
    assert statuses(result) == {"a": "succeeded", "b": "failed", "c": "not_run"}
    assert result.error is not None
    assert bench.cancel.is_set()


def test_workers_that_do_not_start_fail_the_run(bench: Bench) -> None:
    def fail_to_start() -> Any:
        raise StepError("no process could be started", hint="raise the limit", type="NoProcess")

    with pytest.raises(StepError, match="no process"):
        bench.run(A, start_workers=fail_to_start)
    assert (bench.result.status, statuses(bench.result)) == ("failed", {"a": "not_run"})
    error = bench.result.error
    assert error is not None
    assert (error.type, error.hint) == ("NoProcess", "raise the limit")


def test_workers_run_while_steps_do(bench: Bench) -> None:
    seen: list[str] = []

    @contextmanager
    def start() -> Iterator[None]:
        seen.append("start")
        yield
        seen.append("end")

    bench.on_event = lambda event: seen.append(type(event).__name__)
    bench.run(A, start_workers=start)
    assert (seen[0], seen[-1]) == ("start", "end")
    assert StepFinished.__name__ in seen


def test_a_wrong_selection_runs_nothing(bench: Bench) -> None:
    reads = replace(B, references=frozenset({"a"}))
    with pytest.raises(UsageError, match="reads from 'a', which is not selected"):
        bench.run(A, reads, options=RunOptions(only=frozenset({"b"})))
    assert bench.said == []
    assert bench.result.status == "failed"
    assert bench.run(A, options=RunOptions(only=frozenset({"a"}))).selected == ("a",)


def test_a_state_is_released_however_the_run_ends(bench: Bench, tmp_path: Path) -> None:
    place = StateLocation(str(tmp_path / "state"))
    reads = replace(B, references=frozenset({"a"}))
    with pytest.raises(UsageError):
        bench.run(A, reads, state=place, options=RunOptions("key", only=frozenset({"b"})))
    bench = Bench()
    assert bench.run(A, state=place, options=RunOptions("key")).status == "succeeded"
    again = bench.run(A, state=place, options=RunOptions("key"))
    assert statuses(again) == {"a": "skipped"}
    assert bench.said == ["A"]


def test_a_run_whose_lock_was_taken_has_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(NoState):
        lost = StepError("the lock was taken", type="LockLost")

    monkeypatch.setattr(runner, "open_state", lambda *_: Lost())
    result = bench.run(A)
    assert (result.status, statuses(result)) == ("failed", {"a": "not_run"})
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("LockLost", "the lock was taken")


def test_an_observer_that_fails_does_not_stop_the_run(bench: Bench) -> None:
    def fail(_: Any) -> None:
        raise ValueError("broken observer")

    bench.on_event = fail
    assert bench.run(A).status == "succeeded"


def test_session_policies_that_were_widened_are_told(bench: Bench) -> None:
    bench.run(A, roles=(ROLE,), plan={"narrowed": {ROLE: ("prefixes were merged",)}})
    (note,) = [each for each in bench.events if isinstance(each, Note)]
    assert note.message == "session policy of reader: prefixes were merged"


def test_targets_are_told_of_the_end_with_the_params_of_the_run(bench: Bench) -> None:
    with serve_webhooks() as running:
        url = register_secret(running.url("ok"))
        told = (
            PlannedNotification(
                Notification(("succeeded",), "webhook", parse_template("${{ params.url }}"))
            ),
            PlannedNotification(Notification(("succeeded",), "sns", "arn:aws:sns:r:1:t", ROLE)),
        )
        bench.run(A, plan={"notify": told}, params={"url": url})
        (post,) = running.posts("ok")
    assert "j succeeded" in post["text"]
    good, bad = [each for each in bench.events if isinstance(each, Note)]
    assert (good.message, bad.message) == ("notified", "notification_failed")
    assert bad.values["error"] == "no sns for reader"
    assert bench.run(A, plan={"notify": ()}).status == "succeeded"


@pytest.mark.parametrize(("otlp", "listens"), [(None, False), ("x", True)])
def test_traces_ask_for_every_assumed_role(bench: Bench, otlp: Any, listens: bool) -> None:
    bench.run(A, telemetry=replace(Telemetry(), otlp=otlp))
    assert (bench.sessions.on_assume is not None) is listens
    if listens:
        refusal = RoleRefused("no", role="job")
        bench.events.clear()
        assert bench.sessions.on_assume(JOB, "arn", 1.5, refusal) is None
        assert bench.events == [], "the run has ended"


def test_a_resumed_run_keeps_the_time_of_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Resumed(NoState):
        started = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)

    monkeypatch.setattr(runner, "open_state", lambda *_: Resumed())
    moments = iter([100.0])
    clock = SimpleNamespace(monotonic=lambda: next(moments, 101.23456))
    monkeypatch.setattr(runner, "time", clock)
    result = bench.run(Step("a", "probe", {"text": parse_template("${{ run.time | string }}")}))
    assert (result.started, result.seconds) == ("2026-01-31T12:00:00Z", 1.235)
    assert bench.said == ["2026-01-31 12:00:00+00:00"]
