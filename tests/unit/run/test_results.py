"""The results of a run, and its status."""

from __future__ import annotations

import pytest

from rolerunner.errors import RoleRefused, StepError
from rolerunner.model import Failure, Step, StepStatus
from rolerunner.run.results import RunRecord, unstarted_result

A, B = Step("a", "s3.list", {}), Step("b", "s3.list", {}, needs=("a",))


@pytest.mark.parametrize(
    ("statuses", "cancelled", "expected"),
    [
        (["succeeded", "skipped"], False, "succeeded"),
        (["succeeded", "skipped"], True, "succeeded"),
        (["succeeded", "warning"], False, "warning"),
        (["succeeded", "not_run"], True, "stopped"),
        (["failed"], True, "stopped"),
    ],
)
def test_the_status_follows_from_those_of_the_steps(
    statuses: list[StepStatus], cancelled: bool, expected: str
) -> None:
    results = {str(number): unstarted_result(A, each) for number, each in enumerate(statuses)}
    assert RunRecord(results).find_status(cancelled=cancelled) == expected


def test_a_failure_breaks_the_steps_behind_it_and_names_the_run_error() -> None:
    record = RunRecord()
    record.add_result(A, unstarted_result(A, "failed", Failure("T", "it broke")))
    record.add_result(B, unstarted_result(B, "not_run"))
    assert (record.broken, record.error, record.failed) == ({"a", "b"}, "a: it broke", True)
    assert record.find_status(cancelled=False) == "failed"


def test_a_failure_that_only_warns_breaks_nothing() -> None:
    step, record = Step("a", "s3.list", {}, on_error="warn"), RunRecord()
    record.add_result(step, unstarted_result(step, "failed", Failure("T", "it broke")))
    assert (record.broken, record.error) == (set(), "")
    assert record.find_status(cancelled=False) == "warning"


def test_a_passed_deadline_fails_the_run() -> None:
    record = RunRecord()
    record.add_result(A, unstarted_result(A, "not_run", Failure("Deadline", "too late")))
    assert record.find_status(cancelled=False) == "failed"


def test_the_first_refusal_is_the_run_error() -> None:
    record = RunRecord()
    refusals = {name: RoleRefused(f"{name} is refused", role=name) for name in ("x", "y")}
    record.add_refusals(refusals)
    assert (record.failed, record.error) == (True, "x is refused")


def test_the_first_secret_that_cannot_be_fetched_is_the_run_error() -> None:
    record = RunRecord()
    record.add_unfetched([StepError("x is gone"), StepError("y is gone")])
    assert (record.failed, record.error, record.is_prevented) == (True, "x is gone", True)
    refused = RunRecord()
    refused.add_refusals({"x": RoleRefused("x is refused", role="x")})
    refused.add_unfetched([StepError("y is gone")])
    assert refused.error == "x is refused"
    assert [error.message for error in refused.unfetched] == ["y is gone"]


def test_after_a_refusal_steps_that_are_not_run_are_failures_for_those_behind_them() -> None:
    stopped, refused = RunRecord(), RunRecord()
    refused.add_refusals({"x": RoleRefused("no", role="x")})
    for record in (stopped, refused):
        record.add_result(A, unstarted_result(A, "not_run"))
    assert (stopped.broken, refused.broken) == (set(), {"a"})
    refused.add_result(A, unstarted_result(Step("c", "s3.list", {}), "succeeded"))
    assert refused.broken == {"a"}


def test_the_first_failure_stays_the_run_error() -> None:
    record = RunRecord()
    for step, message in ((A, "first"), (Step("c", "s3.list", {}), "second")):
        record.add_result(step, unstarted_result(step, "failed", Failure("T", message)))
    assert record.error == "a: first"
    record.add_refusals({"x": RoleRefused("no", role="x")})
    assert record.error == "a: first"


def test_a_failure_without_an_error_leaves_the_run_error_to_the_next() -> None:
    record = RunRecord()
    record.add_result(A, unstarted_result(A, "failed"))
    assert (record.failed, record.error) == (True, "")
    record.add_result(B, unstarted_result(B, "failed", Failure("T", "it broke")))
    assert record.error == "b: it broke"
