"""The order in which a sequence starts its steps, and how it takes their results."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.errors import StepError
from rolerunner.events import StepFinished
from rolerunner.model import Failure, Job, Role, RoleChoice, Step, StepResult
from rolerunner.run.active_run import ActiveRun
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.results import RunRecord, unstarted_result
from rolerunner.run.resume import NOT_SELECTED, NoState
from rolerunner.run.selection import Selection
from rolerunner.run.sequence import InlinePool, StepSequence
from rolerunner.spec.expressions import parse_template

if TYPE_CHECKING:
    from collections.abc import Mapping

A, B, C = (Step(name, "probe", {}) for name in "abc")


def succeed(step: Step) -> StepResult:
    return replace(unstarted_result(step, "succeeded"), attempts=1)


class KnownState(NoState):
    """Knows one step of an earlier run."""

    def restore_result(self, step: Step, read_scope: Any, repeated: set[str]) -> Any:
        del read_scope, repeated
        return unstarted_result(step, "skipped", reason="known") if step.id == "a" else None


class Bench:
    """Runs steps whose work the test gives, and keeps what was done in order."""

    def __init__(self, *steps: Step, work: Any = succeed, **settings: Any) -> None:
        self.seen: list[str] = []
        self.work = work
        self.record = RunRecord()
        unused: Any = None
        environment = RunEnvironment({}, unused, unused, Path(), Path())
        context = RunContext("r", {}, environment, 1, self._notify)
        state, selection = settings.pop("state", NoState()), settings.pop("selection", Selection())
        run = ActiveRun(Job("j", steps), context, state, selection, time.monotonic())
        limit = settings.pop("limit", 1)
        self.cancel = environment.cancel
        self.sequence = StepSequence(
            steps, run, self.record, lambda _: {"item": "x"}, self._execute, limit, **settings
        )

    def _notify(self, event: Any) -> None:
        if isinstance(event, StepFinished):
            self.seen.append(f"-{event.result.id}")

    def _execute(self, step: Step, scope: Mapping[str, Any], record: RunRecord) -> StepResult:
        assert (scope, record) == ({"item": "x"}, self.record)
        self.seen.append(f"+{step.id}")
        result: StepResult = self.work(step)
        return result

    @property
    def statuses(self) -> dict[str, str]:
        return {name: each.status for name, each in self.record.results.items()}

    def error(self, name: str) -> Optional[Failure]:
        return self.record.results[name].error


def test_steps_run_one_after_the_other_in_the_calling_thread() -> None:
    threads = set()

    def work(step: Step) -> StepResult:
        threads.add(threading.current_thread())
        return succeed(step)

    bench = Bench(A, B, work=work)
    bench.sequence.run_steps(InlinePool())
    assert bench.seen == ["+a", "-a", "+b", "-b"]
    assert threads == {threading.current_thread()}
    assert bench.record.repeated == {"a", "b"}


def test_steps_run_at_once_up_to_the_limit_and_wait_for_what_they_need() -> None:
    both = threading.Barrier(2, timeout=20)

    def work(step: Step) -> StepResult:
        if step.id != "c":
            both.wait()
        return succeed(step)

    bench = Bench(A, B, replace(C, needs=("a", "b")), work=work, limit=2)
    with ThreadPoolExecutor(3) as pool:
        bench.sequence.run_steps(pool)
    assert set(bench.seen[:2]) == {"+a", "+b"}
    assert bench.seen[-2:] == ["+c", "-c"]
    assert bench.sequence.running == {}


def test_a_failure_stops_the_steps_behind_it() -> None:
    bench = Bench(
        A,
        replace(B, needs=("a",)),
        replace(C, when="always"),
        work=lambda step: unstarted_result(step, "failed", Failure("T", "it broke")),
    )
    bench.sequence.run_steps(InlinePool())
    assert bench.statuses == {"a": "failed", "b": "not_run", "c": "failed"}
    assert bench.seen == ["+a", "-a", "-b", "+c", "-c"]
    assert bench.record.repeated == {"a", "c"}, "b did not start"


def test_a_cancelled_run_starts_no_more_steps() -> None:
    def work(step: Step) -> StepResult:
        bench.cancel.set()
        return succeed(step)

    bench = Bench(A, B, work=work)
    bench.sequence.run_steps(InlinePool())
    assert bench.statuses == {"a": "succeeded", "b": "not_run"}


def test_a_step_whose_role_does_not_exist_fails_without_starting() -> None:
    choice = RoleChoice(parse_template("${{ item }}"), {"y": Role("arn", "y")})
    bench = Bench(replace(A, role_choices={"role": choice}), B)
    bench.sequence.run_steps(InlinePool())
    assert bench.statuses == {"a": "failed", "b": "not_run"}
    failure = bench.error("a")
    assert failure is not None
    assert "gives 'x', which is not a role" in failure.message


def test_a_role_is_bound_before_the_step_starts_unless_its_own_items_choose_it() -> None:
    roles: list[str] = []

    def work(step: Step) -> StepResult:
        roles.append(step.role_name)
        return succeed(step)

    choices = {"role": RoleChoice(parse_template("${{ item }}"), {"x": Role("arn", "x")})}
    loop = replace(B, role_choices=choices, for_each=["x"])
    Bench(replace(A, role_choices=choices), work=work).sequence.run_steps(InlinePool())
    bench = Bench(loop, work=lambda step: work(step) if step.role_choices else succeed(step))
    bench.sequence.run_steps(InlinePool())
    assert roles == ["x", "x"], "the loop's step still has its choices"


def test_whatever_decides_the_start_may_raise_an_error_that_fails_the_step() -> None:
    class Broken(NoState):
        def restore_result(self, step: Step, read_scope: Any, repeated: set[str]) -> Any:
            raise error

    error: BaseException = ValueError("a plugin's own")
    bench = Bench(A, state=Broken())
    bench.sequence.run_steps(InlinePool())
    failure = bench.error("a")
    assert failure is not None
    assert "a plugin's own" in failure.message
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        Bench(A, state=Broken()).sequence.run_steps(InlinePool())


def test_what_was_done_before_is_not_repeated() -> None:
    bench = Bench(A, B, state=KnownState())
    bench.sequence.run_steps(InlinePool())
    assert bench.seen == ["-a", "+b", "-b"]
    assert bench.record.results["a"].reason == "known"
    assert bench.record.repeated == {"b"}


def test_an_unselected_step_does_not_run_unless_its_other_name_is_selected() -> None:
    selection = Selection.of(["g[#1]"])
    inner = replace(A, id="g[north].a"), replace(B, id="g[south].b")
    bench = Bench(*inner, selection=selection, other_names={"g[north].a": "g[#1].a"})
    bench.sequence.run_steps(InlinePool())
    assert bench.seen == ["+g[north].a", "-g[north].a", "-g[south].b"]
    assert bench.record.results["g[south].b"].reason == NOT_SELECTED


def test_an_inline_pool_keeps_an_error_for_the_caller() -> None:
    pool = InlinePool()

    def fail() -> None:
        raise StepError("broken")

    assert pool.submit(str, 7).result() == "7"
    failed = pool.submit(fail)
    assert failed.done()
    with pytest.raises(StepError, match="broken"):
        failed.result()


def test_a_group_whose_steps_were_all_skipped_was_not_repeated() -> None:
    group = replace(A, steps=(Step("a.x", "probe", {}),))
    bench = Bench(group, B, work=lambda step: unstarted_result(step, "skipped"))
    bench.sequence.run_steps(InlinePool())
    assert bench.record.repeated == {"b"}
