"""Whether a step starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import pytest

from rolerunner.errors import RoleRefused, StepError
from rolerunner.model import Job, Role, Step
from rolerunner.run.conditions import RunMoment, decide_start
from rolerunner.run.results import RunRecord
from rolerunner.spec.expressions import parse_template

READY = RunMoment(is_cancelled=False, elapsed=0.0)
JOB = Job("j", ())
FINISH = Job("j", (), on_failure="finish")


def no_scope() -> Mapping[str, Any]:
    raise AssertionError("no condition reads the scope")


def status(step: Step, record: RunRecord, moment: RunMoment = READY, job: Job = JOB) -> str:
    result = decide_start(step, job, record, moment, no_scope)
    return "starts" if result is None else result.status


@pytest.mark.parametrize(
    ("when", "needs", "job", "expected"),
    [
        ("on_success", (), JOB, "not_run"),
        ("on_success", (), FINISH, "starts"),
        ("on_success", ("bad",), FINISH, "not_run"),
        ("on_failure", ("bad",), JOB, "starts"),
        ("on_failure", (), JOB, "skipped"),
        ("always", ("bad",), JOB, "starts"),
    ],
)
def test_when_decides_after_a_failure(
    when: str, needs: tuple[str, ...], job: Job, expected: str
) -> None:
    record = RunRecord(broken={"bad"}, failed=True)
    assert status(Step("a", "s3.list", {}, needs=needs, when=when), record, job=job) == expected


@pytest.mark.parametrize(
    ("moment", "error"),
    [
        (RunMoment(is_cancelled=True, elapsed=0), None),
        (RunMoment(is_cancelled=False, elapsed=11), "Deadline"),
        (RunMoment(False, 0, StepError("lost", type="LockLost")), "LockLost"),
    ],
)
def test_an_obstacle_comes_before_any_condition(moment: RunMoment, error: Optional[str]) -> None:
    step, job = Step("a", "s3.list", {}, when="always"), Job("j", (), deadline=10)
    result = decide_start(step, job, RunRecord(), moment, no_scope)
    assert result is not None
    assert result.status == "not_run"
    assert (result.error and result.error.type) == error


def test_a_step_may_start_exactly_at_the_deadline() -> None:
    moment = RunMoment(is_cancelled=False, elapsed=10)
    assert status(Step("a", "s3.list", {}), RunRecord(), moment, Job("j", (), deadline=10)) == (
        "starts"
    )


def test_only_steps_for_failures_run_after_a_refused_role() -> None:
    refused, other = Role("arn:r", "refused"), Role("arn:o", "other")
    record = RunRecord()
    record.add_refusals({"refused": RoleRefused("no", role="refused")})
    steps = [
        Step("a", "s3.list", {}, {"role": other}),
        Step("b", "s3.list", {}, {"role": other}, when="always"),
        Step("c", "s3.list", {}, {"role": refused}, when="always"),
    ]
    assert [status(step, record) for step in steps] == ["not_run", "starts", "not_run"]


@pytest.mark.parametrize(
    ("job", "record"),
    [
        (JOB, RunRecord(failed=True)),
        (FINISH, RunRecord(refusals={"refused": RoleRefused("no", role="refused")})),
    ],
    ids=["stopped", "refused"],
)
@pytest.mark.parametrize(
    ("when", "expected"),
    [("${{ params.full }}", "not_run"), ("${{ run.error }}", "starts")],
)
def test_only_an_expression_that_reads_a_failure_decides_after_one(
    job: Job, record: RunRecord, when: str, expected: str
) -> None:
    scope = {"params": {"full": True}, "run": {"error": "no"}}
    step = Step("a", "s3.list", {}, when=parse_template(when))
    result = decide_start(step, job, record, READY, lambda: scope)
    assert ("starts" if result is None else result.status) == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("${{ steps.bad.status == 'failed' }}", "starts"),
        ("${{ steps.bad.status == 'succeeded' }}", "skipped"),
        ("${{ run.error == '' }}", "skipped"),
        ("${{ run.id }}", "not_run"),
        ("${{ params.error }}", "not_run"),
        ("${{ run.error.length }}", "not_run"),
    ],
)
def test_a_condition_behind_a_failure_decides_by_what_it_reads(when: str, expected: str) -> None:
    scope = {
        "steps": {"bad": {"status": "failed"}},
        "run": {"error": "it broke", "id": "r"},
        "params": {"error": True},
    }
    step = Step("a", "s3.list", {}, needs=("bad",), when=parse_template(when))
    result = decide_start(step, JOB, RunRecord(broken={"bad"}, failed=True), READY, lambda: scope)
    assert ("starts" if result is None else result.status) == expected


def test_a_condition_that_cannot_be_evaluated_fails_the_step() -> None:
    step = Step("a", "s3.list", {}, when=parse_template("${{ params.none }}"))
    result = decide_start(step, JOB, RunRecord(), READY, lambda: {"params": {}})
    assert result is not None
    assert result.error is not None
    assert result.status == "failed"
    assert "there is no 'params.none'" in result.error.message


def test_a_refused_role_is_the_reason_of_the_steps_that_need_it() -> None:
    record = RunRecord()
    record.add_refusals({"r": RoleRefused("no", role="r", hint="ask")})
    mine, other = (Step("a", "s3.list", {}, {"role": Role("arn", name)}) for name in ("r", "o"))
    results = [decide_start(step, FINISH, record, READY, no_scope) for step in (mine, other)]
    assert [each and each.status for each in results] == ["not_run", "not_run"]
    assert [each and each.error and each.error.message for each in results] == ["no", None]


def test_a_passed_deadline_is_told() -> None:
    late = RunMoment(is_cancelled=False, elapsed=10.1)
    job = Job("j", (), deadline=10)
    result = decide_start(Step("a", "s3.list", {}), job, RunRecord(), late, no_scope)
    assert result is not None
    assert result.error is not None
    assert result.error.message == "the job's deadline of 10 s has passed"
