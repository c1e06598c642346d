"""Cases that run side by side: order, limits, and the end after a failure."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.spec_testing import suite
from rolerunner.spec_testing.mismatches import Mismatch
from rolerunner.spec_testing.run import CaseResult
from rolerunner.spec_testing.suite import run_cases, select_cases
from tests.unit.spec_testing.samples import load

FAILED = (Mismatch("exit", "0", "4"),)


def cases(*names: str) -> Any:
    return [SimpleNamespace(id=f"job.test.yaml::{name}", name=name) for name in names]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Cases take ``seconds`` and fail if their name begins with 'f'."""
    state: dict[str, Any] = {"now": 0, "most": 0, "seconds": 0.02, "stops": [], "started": []}
    lock = threading.Lock()

    def run_case(case: Any, stop: threading.Event) -> CaseResult:
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
            state["stops"].append(stop)
            state["started"].append(case.name)
        time.sleep(state["seconds"])
        with lock:
            state["now"] -= 1
        return CaseResult(case, FAILED if case.name.startswith("f") else (), 0.0)

    monkeypatch.setattr(suite, "run_case", run_case)
    return state


def test_results_are_in_the_order_of_the_files_and_told_as_they_end(
    running: dict[str, Any],
) -> None:
    told: list[CaseResult] = []
    given = cases("a", "f", "b", "f2", "c")
    result = run_cases(given, 3, tell=told.append)
    assert [each.case for each in result.outcomes] == given
    assert result.left == 0
    assert [each.case.id for each in result.failures] == ["job.test.yaml::f", "job.test.yaml::f2"]
    assert sorted(each.case.id for each in told) == sorted(case.id for case in given)
    assert 1 <= running["most"] <= 3
    assert result.seconds > 0


def test_one_at_a_time_is_the_order_of_the_files(running: dict[str, Any]) -> None:
    run_cases(cases("c", "a", "b"), 1, tell=lambda _: None)
    assert (running["started"], running["most"]) == (["c", "a", "b"], 1)


def test_no_case_starts_after_a_failure_if_asked_for(running: dict[str, Any]) -> None:
    result = run_cases(cases("a", "f", "b", "c"), 1, fail_fast=True, tell=lambda _: None)
    assert running["started"] == ["a", "f"]
    assert ([each.has_passed for each in result.outcomes], result.left) == ([True, False], 2)


def test_no_cases_end_at_once(running: dict[str, Any]) -> None:
    result = run_cases([], 2, tell=lambda _: None)
    assert (result.outcomes, result.left, running["started"]) == ((), 0, [])


def test_an_interruption_stops_the_runs(running: dict[str, Any]) -> None:
    def interrupt(_: CaseResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cases(cases("a", "b"), 2, tell=interrupt)
    assert all(stop.is_set() for stop in running["stops"])


def test_cases_are_chosen_by_file_or_name_in_any_case(tmp_path: Path) -> None:
    given = load(tmp_path, "  - {name: The Partner}\n  - {name: other}\n")
    assert [case.fields.name for case in select_cases(given, "partner")] == ["The Partner"]
    assert select_cases(given, "JOB.TEST") == given
    assert select_cases(given, None) == given
    assert select_cases(given, "none") == []
