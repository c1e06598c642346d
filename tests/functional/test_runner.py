"""Order, conditions, loops, retries, timeouts and signals of a run, on the embedded AWS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.errors import RolesRefused
from rolerunner.events import StepFinished, StepStarted
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.model import RunResult

FUNCTIONS = """
import threading, time
from rolerunner.errors import StepError
tries = {}
at_once = {"now": 0, "most": 0}
lock = threading.Lock()

def say(context, value=None):
    return {"value": value}

def fail(context):
    raise ValueError("broken")

def passing(context, name, failures, type="SlowDown"):
    tries[name] = tries.get(name, 0) + 1
    if tries[name] <= failures:
        raise StepError("slow down", type=type)
    return {"tries": tries[name]}

def wait(context, seconds):
    with lock:
        at_once["now"] += 1
        at_once["most"] = max(at_once["most"], at_once["now"])
    context.cancel.wait(seconds)
    with lock:
        at_once["now"] -= 1
    if context.cancel.is_set():
        raise StepError("stopped", type="Stopped")
    return {"most": at_once["most"]}
"""
WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - arn: arn:aws:iam::111122223333:role/job
    permissions: [{Effect: Allow, Action: "s3:*", Resource: "*"}]
buckets:
  - name: data-bucket
    account: "111122223333"
    objects: [{key: in/a.txt, text: "aa"}, {key: in/b.txt, text: "b"}]
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "doings.py").write_text(FUNCTIONS)
    yield
    sys.modules.pop("doings", None)


class Order:
    """The starts and ends of steps, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def notify(self, event: Any) -> None:
        if isinstance(event, StepStarted):
            self.seen.append(f"+{event.step.id}")
        if isinstance(event, StepFinished):
            self.seen.append(f"-{event.result.id}")


def run(tmp_path: Path, steps: str, top: str = "", **given: Any) -> RunResult:
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\nname: t\n{top}steps:\n{steps}")
    return api.run(api.load(path), **given)


def call(id_: str, function: str = "say", more: str = "", **arguments: Any) -> str:
    return (
        f"  - {{id: {id_}, action: python.call, function: 'doings:{function}', "
        f"arguments: {json.dumps(arguments)}{', ' + more if more else ''}}}\n"
    )


def statuses(result: RunResult) -> dict[str, str]:
    return {step.id: step.status for step in result.steps}


def test_steps_run_top_to_bottom_and_needs_let_them_run_at_once(tmp_path: Path) -> None:
    order = Order()
    steps = (
        call("first")
        + call("a", "wait", "needs: [first]", seconds=0.3)
        + call("b", "wait", "needs: [first]", seconds=0.3)
        + call("last")
    )
    result = run(tmp_path, steps, observers=[order])
    assert result.status == "succeeded"
    assert order.seen[:2] == ["+first", "-first"]
    assert set(order.seen[2:4]) == {"+a", "+b"}
    assert order.seen[-2:] == ["+last", "-last"], "it waits for both"
    assert max(step.outputs.get("most", 0) for step in result.steps) == 2


def test_max_parallel_bounds_what_runs_at_once(tmp_path: Path) -> None:
    steps = "".join(call(f"s{number}", "wait", "needs: []", seconds=0.1) for number in range(6))
    result = run(tmp_path, steps, "max_parallel: 2\n")
    assert max(step.outputs["most"] for step in result.steps) == 2


def test_a_failed_step_stops_what_depends_on_it_and_what_is_for_failures_runs(
    tmp_path: Path,
) -> None:
    steps = (
        call("a", "fail")
        + call("b")
        + call("tell", more="when: on_failure", value="${{ run.error }}")
        + call("tidy", more="when: always")
        + call("c")
        + call("fine", more="when: on_failure, needs: []")
    )
    result = run(tmp_path, steps)
    assert result.status == "failed"
    assert statuses(result) == {
        "a": "failed",
        "b": "not_run",
        "tell": "succeeded",
        "tidy": "succeeded",
        "c": "not_run",
        "fine": "skipped",
    }
    assert result.steps[2].outputs["value"] == "a: 'doings:fail' raised ValueError: broken"


@pytest.mark.parametrize(("on_failure", "status"), [("stop", "not_run"), ("finish", "succeeded")])
def test_the_independent_rest_finishes_or_not(on_failure: str, status: str, tmp_path: Path) -> None:
    steps = (
        call("bad", "fail", "needs: []")
        + call("slow", "wait", "needs: []", seconds=0.3)
        + call("after", more="needs: [slow]")
    )
    result = run(tmp_path, steps, f"on_failure: {on_failure}\n")
    assert statuses(result) == {"bad": "failed", "slow": "succeeded", "after": status}


def test_an_expression_decides(tmp_path: Path) -> None:
    steps = (
        call("a", value=3)
        + call("more", more="when: '${{ steps.a.value > 2 }}'")
        + call("less", more="when: '${{ steps.a.value < 2 }}'")
        + call("bad", "fail", "on_error: continue")
        + call("why", more="when: \"${{ steps.bad.status == 'failed' }}\"")
    )
    result = run(tmp_path, steps)
    assert statuses(result) == {
        "a": "succeeded",
        "more": "succeeded",
        "less": "skipped",
        "bad": "failed",
        "why": "succeeded",
    }
    assert result.status == "warning"


def test_for_each_gathers_outputs_in_order(tmp_path: Path) -> None:
    loop = "for_each: {items: [1, 2, 3, 4, 5], max_parallel: 3}"
    steps = call("loop", more=loop, value="${{ item * 10 }}") + call(
        "sum", value="${{ steps.loop.value | json }}"
    )
    result = run(tmp_path, steps)
    assert result.steps[0].outputs == {"value": [10, 20, 30, 40, 50]}
    assert result.steps[1].outputs == {"value": "[10, 20, 30, 40, 50]"}


def test_for_each_goes_through_listed_objects(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(WORLD)
    steps = "  - {id: find, action: s3.list, role: job, source: s3://data-bucket/in/}\n" + call(
        "each",
        more="for_each: '${{ steps.find.objects }}'",
        value="${{ item.uri }}: ${{ item.size }}",
    )
    with sandbox.start_sandbox(sandbox.load_world(tmp_path / "w.yaml")) as running:
        result = run(tmp_path, steps, identity=identity_of(running))
    assert result.steps[1].outputs == {
        "value": ["s3://data-bucket/in/a.txt: 2", "s3://data-bucket/in/b.txt: 1"]
    }


def test_a_failed_item_names_itself(tmp_path: Path) -> None:
    result = run(
        tmp_path, call("loop", "passing", "for_each: [x, y]", name="${{ item }}", failures=1)
    )
    (step,) = result.steps
    assert step.error is not None
    assert step.error.message == "item 0 (x): slow down"


def test_what_passes_is_tried_again_and_what_does_not_is_not(tmp_path: Path) -> None:
    retry = "retry: {attempts: 3, delay: 0.01}"
    steps = (
        call("slow", "passing", retry, name="slow", failures=2)
        + call(
            "refused",
            "passing",
            retry + ", on_error: continue",
            name="refused",
            failures=2,
            type="AccessDenied",
        )
        + call("given_up", "passing", retry, name="given_up", failures=9)
    )
    result = run(tmp_path, steps)
    assert [(step.id, step.status, step.attempts) for step in result.steps] == [
        ("slow", "succeeded", 3),
        ("refused", "failed", 1),
        ("given_up", "failed", 3),
    ]


def test_a_timeout_stops_the_step(tmp_path: Path) -> None:
    started_at = time.monotonic()
    result = run(tmp_path, call("slow", "wait", "timeout: 0.3", seconds=30))
    assert time.monotonic() - started_at < 3
    (step,) = result.steps
    assert step.error is not None
    assert step.error.type == "Timeout"
    assert re.fullmatch(r"not done within 0\.(3|2\d*) s", step.error.message)


def test_past_the_deadline_no_step_begins(tmp_path: Path) -> None:
    result = run(tmp_path, call("a", "wait", seconds=0.3) + call("b"), "deadline: 0.1\n")
    assert statuses(result) == {"a": "succeeded", "b": "not_run"}
    assert result.status == "failed"
    assert result.steps[1].error is not None
    assert result.steps[1].error.type == "Deadline"


def test_an_observer_that_fails_does_not_fail_the_run(tmp_path: Path) -> None:
    class Broken:
        def notify(self, event: Any) -> None:
            raise RuntimeError("no")

    assert run(tmp_path, call("a"), observers=[Broken()]).status == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_with_the_result_written(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nsteps:\n" + call("long", "wait", seconds=60) + call("after")
    )
    command = [sys.executable, "-m", "rolerunner", "run", "job.yaml", "--result", "r.json"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    while "step_started" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(number)
    started_at = time.monotonic()
    assert process.wait(10) == 128 + number
    assert time.monotonic() - started_at < 5
    process.stdout.close()
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["status"] == "stopped"
    assert [step["status"] for step in result["steps"]] == ["failed", "not_run"]


@pytest.mark.parametrize(("assume", "ran"), [("lazily", True), ("first", False)])
def test_roles_are_assumed_before_the_first_step_unless_lazily(
    assume: str, ran: bool, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(WORLD)
    steps = call("first") + (
        "  - {id: second, action: s3.list, role: 'arn:aws:iam::111122223333:role/closed', "
        "source: s3://data-bucket/}\n"
    )
    order = Order()
    with sandbox.start_sandbox(sandbox.load_world(tmp_path / "w.yaml")) as running:
        if ran:
            result = run(
                tmp_path,
                steps,
                f"assume: {assume}\n",
                identity=identity_of(running),
                observers=[order],
            )
            assert statuses(result) == {"first": "succeeded", "second": "failed"}
        else:
            with pytest.raises(RolesRefused):
                run(
                    tmp_path,
                    steps,
                    f"assume: {assume}\n",
                    identity=identity_of(running),
                    observers=[order],
                )
    assert ("+first" in order.seen) is ran
