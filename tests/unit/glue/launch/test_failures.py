"""The one line that says why a job run failed."""

from __future__ import annotations

import pytest

from rolerunner.errors import RoleRefused, RolesRefused, StepError, UsageError
from rolerunner.glue.launch.failures import describe_error, describe_internal_error, find_failure
from rolerunner.model import Failure, RunResult, RunStatus, StepResult, StepStatus


def make_result(status: RunStatus, *steps: StepResult) -> RunResult:
    return RunResult("r-1", "daily", status, "2026-01-31T00:00:00Z", 1.0, (), steps)


def make_step(name: str, status: StepStatus, error: Failure | None = None) -> StepResult:
    return StepResult(name, "s3.list", "", status, error=error)


@pytest.mark.parametrize("status", ["succeeded", "warning"])
def test_a_run_that_did_not_fail(status: RunStatus) -> None:
    assert find_failure(make_result(status), out_of_time=True) is None


def test_the_first_step_that_failed_is_the_reason() -> None:
    reason = Failure("NotFound", "nothing is there", "check the prefix")
    later = Failure("Timeout", "too slow", "")
    steps = (
        make_step("a", "warning", later),
        make_step("b", "failed", reason),
        make_step("c", "failed", later),
    )
    assert find_failure(make_result("failed", *steps), out_of_time=False) == Failure(
        "NotFound", "daily: step 'b' failed: nothing is there", "check the prefix"
    )


def test_a_step_that_did_not_run_may_be_the_reason() -> None:
    step = make_step("a", "not_run", Failure("Deadline", "no time is left", ""))
    found = find_failure(make_result("failed", step), out_of_time=False)
    assert found is not None
    assert found.message == "daily: step 'a' did not run: no time is left"


def test_a_run_that_was_stopped() -> None:
    step = make_step("a", "not_run")
    stopped = find_failure(make_result("stopped", step), out_of_time=False)
    assert stopped == Failure("Stopped", "daily: the run was stopped")
    late = find_failure(make_result("stopped", step), out_of_time=True)
    assert late is not None
    assert (late.type, late.hint) == ("Deadline", "raise 'timeout' under 'glue' in the spec")


def test_an_error_of_several_lines_becomes_one() -> None:
    assert describe_error(UsageError("one:\n\n  two  \nthree")) == Failure(
        "UsageError", "one:; two; three", ""
    )
    assert describe_error(StepError("gone", hint="look again")).hint == "look again"
    refused = RolesRefused(
        [RoleRefused("no trust", role="a"), RoleRefused("no such role", role="b")]
    )
    assert describe_error(refused).message == (
        "2 roles were refused, no step ran: no trust; no such role"
    )


def test_an_error_of_rolerunner_itself_points_to_the_log() -> None:
    assert describe_internal_error(KeyError("gone")) == Failure(
        "KeyError", "internal error: KeyError: 'gone' (the log has the traceback)"
    )
