"""The attempts of a step: which failures are repeated, and until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from rolerunner.actions.base import Action, OutputsWithWarning, StepContext
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.events import Note, StepProgress
from rolerunner.model import Failure, Permission, Retry, Step
from rolerunner.run import timeouts
from rolerunner.run.attempts import StepAttempts
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.idempotency import NOT_RECORDED

Work = Callable[[StepContext], Mapping[str, Any]]
FAST = Retry(attempts=3, delay=0.0)


class Bench:
    """A run with one kind of action, whose work the test gives."""

    def __init__(self, tmp_path: Path, work: Work, **more: Any) -> None:
        self.contexts: list[StepContext] = []
        self.events: list[Any] = []
        self.left: list[str] = []
        bench = self

        class Probe(Action):
            """Calls the test's work."""

            text: str = ""

            def run(self, context: StepContext) -> Mapping[str, Any]:
                bench.contexts.append(context)
                return work(context)

            def permissions(self) -> Mapping[str, list[Permission]]:
                return {}

            def tracked_paths(self, context: StepContext, outputs: Mapping[str, Any]) -> list[str]:
                del context, outputs
                return bench.left

        self.cancel = Cancel()
        unused: Any = None  # the action asks for neither a session nor storage
        environment = RunEnvironment(
            {"probe": Probe}, unused, unused, tmp_path, tmp_path, cancel=self.cancel
        )
        self.run = RunContext("r", {}, environment, 1, self.events.append, **more)
        self.workdir = tmp_path / "lists"

    def attempts(
        self, retry: Retry = FAST, seconds: Optional[float] = None, **more: Any
    ) -> StepAttempts:
        step = Step("it", "probe", {}, retry=retry, **more)
        deadline = None if seconds is None else time.monotonic() + seconds
        return StepAttempts(step, {}, self.run, self.workdir, deadline)

    @property
    def notes(self) -> list[Note]:
        return [each for each in self.events if isinstance(each, Note)]


def failing(kind: str, times: int = 99) -> Work:
    made: list[int] = []

    def work(_: StepContext) -> Mapping[str, Any]:
        made.append(1)
        if len(made) <= times:
            raise StepError("slow down", hint="later", type=kind)
        return {"count": len(made)}

    return work


def test_the_result_names_its_attempts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing("SlowDown", 2))
    done = bench.attempts().execute()
    assert (done.outputs, done.attempts, done.warning, done.left) == ({"count": 3}, 3, None, ())
    assert [each.is_retry for each in bench.contexts] == [False, True, True]
    assert [each.is_resumed for each in bench.contexts] == [False, True, True]
    assert [(each.level, each.message, each.values["attempt"]) for each in bench.notes] == [
        ("warning", "tried again", 1),
        ("warning", "tried again", 2),
    ]
    assert bench.notes[0].values["error"] == "slow down"


@pytest.mark.parametrize(
    ("kind", "attempts"), [("SlowDown", 3), ("AccessDenied", 1), ("ConnectionClosedError", 3)]
)
def test_only_failures_that_may_pass_are_repeated(kind: str, attempts: int, tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing(kind))
    with pytest.raises(StepError, match="slow down") as raised:
        bench.attempts().execute()
    assert (len(bench.contexts), raised.value.attempts) == (attempts, attempts)
    assert (raised.value.type, raised.value.hint) == (kind, "later")


def test_a_step_without_retry_has_one_attempt(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing("SlowDown"))
    with pytest.raises(StepError):
        bench.attempts(Retry()).execute()
    assert (len(bench.contexts), bench.notes) == (1, [])


def test_a_delay_ends_at_the_deadline_and_no_attempt_follows(tmp_path: Path) -> None:
    """The delay would be a minute; the step's timeout is a moment."""
    bench = Bench(tmp_path, failing("SlowDown"))
    began = time.monotonic()
    with pytest.raises(StepError, match="not done within") as raised:
        bench.attempts(Retry(attempts=9, delay=60.0), 0.3).execute()
    assert 0.25 < time.monotonic() - began < 10
    assert raised.value.type == "Timeout"
    assert len(bench.contexts) <= 2


def test_nothing_is_repeated_after_the_deadline(tmp_path: Path) -> None:
    def work(_: StepContext) -> Mapping[str, Any]:
        time.sleep(0.05)
        raise StepError("slow down", type="SlowDown")

    attempts = Bench(tmp_path, work).attempts()
    attempts.deadline = time.monotonic() - 1
    assert not attempts._should_retry(StepError("slow down", type="SlowDown"))
    attempts.deadline = time.monotonic() + 60
    assert attempts._should_retry(StepError("slow down", type="SlowDown"))


def test_a_stopped_run_repeats_nothing(tmp_path: Path) -> None:
    def work(_: StepContext) -> Mapping[str, Any]:
        bench.cancel.set()
        raise StepError("slow down", type="SlowDown")

    bench = Bench(tmp_path, work)
    with pytest.raises(StepError, match="slow down"):
        bench.attempts(Retry(attempts=3, delay=60)).execute()
    assert len(bench.contexts) == 1


def test_a_stopped_run_starts_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing("SlowDown", 0))
    bench.cancel.set()
    with pytest.raises(StepError, match="stopped before it started") as raised:
        bench.attempts().execute()
    assert (bench.contexts, raised.value.type, raised.value.attempts) == ([], "Stopped", 1)


def test_an_attempt_is_limited_by_the_shorter_of_two_times(tmp_path: Path) -> None:
    def work(context: StepContext) -> Mapping[str, Any]:
        context.cancel.wait(60)
        raise StepError("stopped", type="Stopped")

    for timeout, seconds in ((0.1, 60.0), (60.0, 0.1), (0.1, None), (None, 0.1)):
        bench = Bench(tmp_path, work)
        attempts = bench.attempts(Retry(), seconds, attempt_timeout=timeout)
        with pytest.raises(StepError, match=r"not done within 0\.\d+ s") as raised:
            attempts.execute()
        assert raised.value.type == "Timeout"
        assert bench.contexts[0].cancel.is_set()
        assert not bench.cancel.is_set(), "other steps of the run go on"


def test_a_call_that_still_runs_is_not_made_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GRACE_SECONDS", 0.0)
    release = Cancel()

    def work(_: StepContext) -> Mapping[str, Any]:
        release.wait(60)
        return {}

    bench = Bench(tmp_path, work)
    with pytest.raises(StepError, match="was abandoned"):
        bench.attempts(FAST, attempt_timeout=0.05).execute()
    assert len(bench.contexts) == 1
    with pytest.raises(StepError, match="an earlier call of this step still runs"):
        bench.attempts(FAST).execute()
    release.set()


def test_a_warning_of_the_outputs_is_the_steps(tmp_path: Path) -> None:
    warning = Failure("T", "some failed")
    bench = Bench(tmp_path, lambda _: OutputsWithWarning({"count": 1}, warning))
    assert bench.attempts().execute().warning is warning


def test_any_exception_is_the_failure_of_the_step(tmp_path: Path) -> None:
    def work(_: StepContext) -> Mapping[str, Any]:
        raise ZeroDivisionError("by zero")

    with pytest.raises(StepError, match="by zero") as raised:
        Bench(tmp_path, work).attempts().execute()
    assert raised.value.attempts == 1


def test_files_that_are_left_are_listed_where_the_run_keeps_state(tmp_path: Path) -> None:
    kept, plain = (Bench(tmp_path, lambda _: {}, keeps_state=each) for each in (True, False))
    for bench in (kept, plain):
        bench.left = [str(tmp_path / "a")]
    assert plain.attempts().execute().left == ()
    assert kept.attempts().execute().left == (tmp_path / "lists" / "it.left.jsonl",)
    kept.left = []
    assert kept.attempts().execute().left == ()


def test_work_whose_files_cannot_be_listed_is_done_but_not_recorded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda _: {}, keeps_state=True)
    bench.left = [str(tmp_path / "a")]
    (tmp_path / "lists").write_text("a file where the folder would be")
    with pytest.raises(
        StepError, match="done, but the files that it left cannot be read"
    ) as raised:
        bench.attempts().execute()
    assert raised.value.type == NOT_RECORDED
    assert len(bench.contexts) == 1


def test_distribution_is_noted_where_it_is_not_possible(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda _: {})
    attempts = bench.attempts()
    opener: Any = list
    environment = replace(bench.run.environment, open_cluster=opener)
    attempts.run = replace(bench.run, environment=environment)
    action = attempts.build_action()
    assert attempts._choose_cluster(action) is None
    object.__setattr__(action, "distribute", "spark")
    assert attempts._choose_cluster(action) is environment.open_cluster
    assert bench.notes == []
    without = replace(environment, find_cluster_obstacle=lambda: "there is no Java")
    attempts.run = replace(bench.run, environment=without)
    assert attempts._choose_cluster(action) is None
    (note,) = bench.notes
    assert (note.level, note.step_id) == ("warning", "it")
    assert note.message == (
        "'distribute' is ignored, the step runs in this process: there is no Java"
    )
    object.__setattr__(action, "distribute", "auto")
    assert attempts._choose_cluster(action) is None
    assert (bench.notes[1].level, bench.notes[1].message) == (
        "info",
        "stays on this machine: there is no Java",
    )


def test_started_work_is_noted_for_each_place(tmp_path: Path) -> None:
    seen: list[str] = []

    def work(context: StepContext) -> Mapping[str, Any]:
        assert context.started_work is not None
        seen.append(context.started_work.read())
        context.started_work.write(f"query {len(seen)}")
        if len(seen) == 1:
            raise StepError("slow down", type="SlowDown")
        return {}

    bench = Bench(tmp_path, work)

    def attempt(**fields: Any) -> None:
        attempts = replace(bench.attempts(), scope={"params": {}, "run": {}})
        attempts.step = replace(attempts.step, fields=fields)
        attempts.execute()

    attempt()
    assert seen == ["", "query 1"]  # an attempt finds the work of the one before it
    bench.workdir = tmp_path / "it.items" / "1"
    attempt()
    assert seen[2:] == [""]
    assert sorted(bench.run.work_notes.notes) == ["it.items/1/it", "lists/it"]
    attempt(text="other")
    assert seen[3:] == [""]  # started with other inputs


@pytest.mark.parametrize(
    ("share", "delays"), [(0.0, [0.125, 0.375, 0.5]), (1.0, [0.1875, 0.4375, 0.5625])]
)
def test_delays_grow_up_to_the_most_with_half_of_the_first_by_chance(
    share: float, delays: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: share)
    waited: list[float] = []
    monkeypatch.setattr(StepAttempts, "_wait_seconds", lambda _, seconds: waited.append(seconds))
    bench = Bench(tmp_path, failing("SlowDown", 3))
    bench.attempts(Retry(attempts=4, delay=0.125, backoff=3.0, max_delay=0.5)).execute()
    assert waited == delays
    assert [note.values["after"] for note in bench.notes] == [round(each, 2) for each in delays]


def test_a_passed_deadline_leaves_no_seconds(tmp_path: Path) -> None:
    assert Bench(tmp_path, failing("SlowDown")).attempts(FAST, -5.0)._remaining_seconds() == 0.0


def test_an_action_gets_what_it_may_use(tmp_path: Path) -> None:
    def work(context: StepContext) -> Mapping[str, Any]:
        context.note("info", "found it", {"n": 1})
        context.progress(StepProgress("it", 1, 2))
        return {}

    bench = Bench(tmp_path, work)
    bench.attempts().execute()
    assert bench.events == [Note("it", "info", "found it", {"n": 1}), StepProgress("it", 1, 2)]
    bench.run.distrusted.add("it")
    told: list[StepProgress] = []
    replace(bench.attempts(), notify_progress=told.append).execute()
    assert told == [StepProgress("it", 1, 2)]
    first, second = bench.contexts
    assert (first.outputs_changed, second.outputs_changed) == (False, True)
    assert (first.in_sandbox, first.run_id, first.step_id) == (False, "r", "it")
