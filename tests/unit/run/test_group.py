"""A group runs its steps for each item, by the rules of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.base import Action, StepContext
from rolerunner.errors import StepError
from rolerunner.events import ItemFinished, StepFinished, StepProgress, StepStarted
from rolerunner.model import Failure, Job, Permission, Role, RoleChoice, Step, StepResult
from rolerunner.run import group, progress
from rolerunner.run.active_run import ActiveRun
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.group import run_group
from rolerunner.run.results import RunRecord, unstarted_result
from rolerunner.run.resume import NOT_SELECTED, NoState
from rolerunner.run.selection import Selection
from rolerunner.spec.expressions import parse_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FETCH = Step("g.fetch", "probe", {"text": parse_template("${{ item }}")})
STORE = Step(
    "g.store",
    "probe",
    {"text": parse_template("got ${{ steps.fetch.said }}")},
    needs=("g.fetch",),
    references=frozenset({"g.fetch"}),
)
GROUP = Step("g", "group", {}, for_each=["x", "y"], steps=(FETCH, STORE), max_parallel=1)
SCOPE: Mapping[str, Any] = {"params": {}, "steps": {}, "run": {"id": "r", "error": ""}}


class FakeSessions:
    """Names the session of a role."""

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"


def echo(text: str) -> Mapping[str, Any]:
    return {"said": text}


class Bench:
    """Runs groups of one kind of action, whose work the test gives."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Any] = []
        self.work: Callable[[str], Mapping[str, Any]] = echo
        self.workdirs: list[str] = []
        self.seconds = 0.0
        """Time that each call takes, unless it is stopped."""
        self.state: NoState = NoState()
        self.selection = Selection()
        self.record = RunRecord()
        bench = self

        class Probe(Action):
            """Calls the test's work."""

            text: str = ""

            def run(self, context: StepContext) -> Mapping[str, Any]:
                bench.workdirs.append(str(context.workdir.relative_to(folder)))
                if context.cancel.wait(bench.seconds):
                    raise StepError("stopped", type="Stopped")
                return bench.work(self.text)

            def permissions(self) -> Mapping[str, list[Permission]]:
                return {}

        unused: Any = None
        sessions: Any = FakeSessions()
        self.environment = RunEnvironment({"probe": Probe}, sessions, unused, folder, folder)

    def run(self, step: Step = GROUP) -> StepResult:
        context = RunContext("r", {}, self.environment, 4, self.events.append)
        run = ActiveRun(Job("j", ()), context, self.state, self.selection, time.monotonic())
        return run_group(step, SCOPE, run, self.record)

    def ended(self, kind: Any = StepFinished) -> list[str]:
        if kind is ItemFinished:
            return [f"{e.item} {e.status}" for e in self.events if isinstance(e, ItemFinished)]
        return [
            f"{e.result.id} {e.result.status}" for e in self.events if isinstance(e, StepFinished)
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def error_of(result: StepResult) -> Failure:
    assert result.error is not None
    return result.error


def test_the_steps_run_for_each_item_and_read_those_of_the_same_item(bench: Bench) -> None:
    result = bench.run()
    assert (result.status, result.error, result.attempts) == ("succeeded", None, 1)
    assert result.outputs["store"]["said"] == ["got x", "got y"]
    assert [(each.item, each.status) for each in result.items] == [
        ("x", "succeeded"),
        ("y", "succeeded"),
    ]
    assert [step.id for step in result.items[1].steps] == ["g[y].fetch", "g[y].store"]
    assert [e.step.id for e in bench.events if isinstance(e, StepStarted)] == [
        "g", "g[x].fetch", "g[x].store", "g[y].fetch", "g[y].store",
    ]  # fmt: skip
    assert bench.ended(ItemFinished) == ["x succeeded", "y succeeded"]
    assert sorted(set(bench.workdirs)) == ["g.items/0", "g.items/1"]


def test_items_run_side_by_side_up_to_the_jobs_limit(bench: Bench) -> None:
    both = threading.Barrier(2, timeout=20)

    def work(text: str) -> Mapping[str, Any]:
        if not text.startswith("got"):
            both.wait()
        return echo(text)

    bench.work = work
    assert bench.run(replace(GROUP, max_parallel=0)).status == "succeeded"


def test_steps_that_need_nothing_of_one_another_run_at_once(bench: Bench) -> None:
    both = threading.Barrier(2, timeout=20)

    def work(text: str) -> Mapping[str, Any]:
        both.wait()
        return echo(text)

    bench.work = work
    other = replace(FETCH, id="g.other")
    assert bench.run(replace(GROUP, steps=(FETCH, other))).status == "succeeded"


def fail_on(*texts: str) -> Callable[[str], Mapping[str, Any]]:
    def work(text: str) -> Mapping[str, Any]:
        if text in texts:
            raise StepError(f"{text} is broken", type="Broken")
        return echo(text)

    return work


def test_a_failed_item_keeps_the_items_after_it_from_starting(bench: Bench) -> None:
    bench.work = fail_on("x")
    result = bench.run()
    assert result.status == "failed"
    assert error_of(result).message == "1 of 2 items failed: g[x].fetch: x is broken"
    assert bench.ended() == [
        "g[x].fetch failed", "g[x].store not_run", "g[y].fetch not_run", "g[y].store not_run",
    ]  # fmt: skip
    assert bench.ended(ItemFinished) == ["x failed", "y not_run"]


def test_failures_that_are_allowed_stop_nothing(bench: Bench) -> None:
    bench.work = fail_on("x")
    result = bench.run(replace(GROUP, max_failures="50%"))
    assert result.status == "warning"
    assert bench.ended(ItemFinished) == ["x failed", "y succeeded"]
    bench.work = fail_on("x", "y")
    bench.events.clear()
    assert bench.run(replace(GROUP, max_failures=1)).status == "failed"
    assert bench.ended(ItemFinished) == ["x failed", "y failed"]


def test_too_many_steps_do_not_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "MAX_STEPS", 4)
    assert bench.run().status == "succeeded"
    failure = error_of(bench.run(replace(GROUP, for_each=["x", "y", "z"])))
    assert "3 items with 2 steps each are 6 steps; the limit is 4" in failure.message
    assert "use fewer items" in failure.hint


def test_items_that_are_no_list_fail_the_group(bench: Bench) -> None:
    result = bench.run(replace(GROUP, for_each=7))
    assert result.status == "failed"
    assert "'for_each' must be a list" in error_of(result).message
    assert result.items == ()


def test_a_selected_item_runs_alone(bench: Bench) -> None:
    for name in ("g[y]", "g[#1]"):
        bench.workdirs.clear()
        bench.selection = Selection.of([name])
        result = bench.run()
        assert [item.status for item in result.items] == ["skipped", "succeeded"]
        assert result.items[0].steps[0].reason == NOT_SELECTED
        assert set(bench.workdirs) == {"g.items/1"}


def test_an_item_that_does_not_exist_cannot_be_selected(bench: Bench) -> None:
    bench.selection = Selection.of(["g[z]"])
    failure = error_of(bench.run())
    assert failure.message == "the group 'g' has no item 'z'"
    assert failure.hint == "known: x, y"


def test_a_group_that_is_not_selected_does_not_start(bench: Bench) -> None:
    bench.selection = Selection.of(["other"])
    result = bench.run()
    assert (result.status, result.reason, bench.events) == ("skipped", NOT_SELECTED, [])


def test_a_group_that_is_not_selected_takes_its_steps_from_the_state(bench: Bench) -> None:
    class Known(NoState):
        def has_step(self, step_id: str) -> bool:
            return step_id == "g"

        def restore_unselected(self, step: Step) -> StepResult:
            known = unstarted_result(step, "skipped", reason=NOT_SELECTED)
            return replace(known, was="succeeded", outputs={"said": "before"})

    bench.state, bench.selection = Known(), Selection.of(["other"])
    result = bench.run()
    assert (result.status, result.was, bench.workdirs) == ("skipped", "succeeded", [])
    assert result.outputs["fetch"]["said"] == ["before", "before"]


def test_a_selected_step_does_not_run_without_its_input(bench: Bench) -> None:
    bench.selection = Selection.of(["g.store"])
    result = bench.run()
    assert bench.workdirs == []
    assert "reads from 'g[x].fetch', which is not selected and has no state" in (
        error_of(result).message
    )
    assert error_of(result).hint == "select it with --only, too, or name a run with --resume KEY"


def test_the_time_of_a_group_holds_for_all_its_steps(bench: Bench) -> None:
    bench.seconds = 20
    result = bench.run(replace(GROUP, timeout=0.2, max_failures=2))
    first, second = result.items
    assert [step.status for step in first.steps] == ["failed", "not_run"]
    error = second.steps[0].error
    assert error is not None
    assert (error.type, error.message) == ("Timeout", "the group was not done within 0.2 s")
    assert error.hint == "raise its 'timeout', or give it fewer items"
    assert 0.2 <= result.seconds < 60


def test_a_step_keeps_its_shorter_timeout(bench: Bench) -> None:
    bench.seconds = 0.1
    hasty = replace(FETCH, timeout=0.01)
    failed = error_of(bench.run(replace(GROUP, timeout=60, steps=(hasty,))))
    assert failed.type == "Timeout"
    assert bench.run(replace(GROUP, timeout=60)).status == "succeeded"


def test_an_item_chooses_its_role(bench: Bench) -> None:
    choice = RoleChoice(parse_template("${{ item }}"), {"x": Role("arn", "x")})
    chooser = replace(FETCH, role_choices={"role": choice})
    result = bench.run(replace(GROUP, steps=(chooser,), max_failures=1))
    first, second = (item.steps[0] for item in result.items)
    assert (first.status, first.role) == ("succeeded", "x")
    assert second.status == "failed"
    assert second.error is not None
    assert "gives 'y', which is not a role" in second.error.message


@pytest.mark.parametrize(("repeated", "expected"), [(set(), set()), ({"a", "b"}, {"a"})])
def test_the_steps_of_an_item_repeat_what_the_group_needs(
    repeated: set[str], expected: set[str], bench: Bench
) -> None:
    seen: list[tuple[tuple[str, ...], set[str]]] = []

    class Asking(NoState):
        def restore_result(self, step: Step, read_scope: Any, repeated: set[str]) -> Any:
            seen.append((step.needs, set(repeated)))

    bench.state = Asking()
    bench.record.repeated = repeated
    bench.run(replace(GROUP, for_each=["x"], needs=("a",)))
    assert seen == [(("a",), expected), (("g[x].fetch",), {*expected, "g[x].fetch"})]


def test_a_state_that_cannot_be_written_fails_the_group(bench: Bench) -> None:
    class Lost(NoState):
        def flush(self) -> None:
            raise StepError("cannot be written")

        def explain_stop(self, error: StepError) -> StepError:
            return StepError(f"the lock is lost: {error.message}", type="LockLost")

    bench.state = Lost()
    assert error_of(bench.run()) == Failure("LockLost", "the lock is lost: cannot be written")


def test_an_error_of_an_earlier_step_of_the_item_is_the_run_error(bench: Bench) -> None:
    said: list[str] = []

    def work(text: str) -> Mapping[str, Any]:
        said.append(text)
        return fail_on("x")(text)

    bench.work = work
    tell = Step(
        "g.tell",
        "probe",
        {"text": parse_template("${{ run.error }}")},
        needs=("g.fetch",),
        when="on_failure",
    )
    bench.run(replace(GROUP, for_each=["x"], steps=(FETCH, tell)))
    assert said == ["x", "g[x].fetch: x is broken"]


def test_the_items_that_ended_are_the_progress_of_a_group(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.0)
    bench.run()
    told = [each for each in bench.events if isinstance(each, StepProgress)]
    assert told == [StepProgress("g", number, 0, 2, unit="item") for number in range(3)]


def test_the_time_of_items_and_group_is_measured(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = count(100.0, 0.25 + 1 / 8192)
    monkeypatch.setattr(group, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    result = bench.run()
    assert result.seconds == 1.251, "rounded to milliseconds"
    ended = [each for each in bench.events if isinstance(each, ItemFinished)]
    assert [(each.seconds, each.is_of_group) for each in ended] == [(0.25 + 1 / 8192, True)] * 2


def test_a_selected_step_may_read_what_an_earlier_run_made(bench: Bench) -> None:
    class Known(NoState):
        def restore_unselected(self, step: Step) -> StepResult:
            known = unstarted_result(step, "skipped", reason=NOT_SELECTED)
            return replace(known, was="succeeded", outputs={"said": "before"})

    bench.state, bench.selection = Known(), Selection.of(["g.store"])
    assert bench.run().outputs["store"]["said"] == ["got before", "got before"]


def test_a_group_has_timed_out_at_its_last_moment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "time", SimpleNamespace(monotonic=lambda: 100.0))
    failure = error_of(bench.run(replace(GROUP, timeout=0.0)))
    assert failure.message.endswith("g[x].fetch: the group was not done within 0 s")
