"""``glue.run`` against botocore's model of Glue: busy jobs, lost requests, resumed runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.glue_run import GlueRun
from rolerunner.errors import StepError
from tests.unit.actions.stubbed import StubbedService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = {"JobName": "load"}
LOOK = {"JobName": "load", "RunId": "jr_1"}


@pytest.fixture
def glue() -> Iterator[StubbedService]:
    service = StubbedService("glue")
    with service.stub:
        yield service
        service.stub.assert_no_pending_responses()


def create_action(**fields: Any) -> GlueRun:
    return GlueRun.model_validate({"job": "load", "interval": 0.01, **fields})


def add_run(glue: StubbedService, state: str, **more: Any) -> None:
    run = {"Id": "jr_1", "JobRunState": state, **more}
    glue.stub.add_response("get_job_run", {"JobRun": run}, LOOK)


def test_options_of_the_run_and_its_cost(glue: StubbedService, tmp_path: Path) -> None:
    sent = {
        **START, "Arguments": {"--day": "x", "--full": "true", "--n": "3"}, "Timeout": 120,
        "WorkerType": "G.2X", "NumberOfWorkers": 4, "ExecutionClass": "FLEX",
        "JobRunQueuingEnabled": True,
    }  # fmt: skip
    glue.stub.add_response("start_job_run", {"JobRunId": "jr_1"}, sent)
    for state in ("WAITING", "RUNNING"):
        add_run(glue, state)
    add_run(glue, "SUCCEEDED", Attempt=1, ExecutionTime=60, MaxCapacity=4.0)
    action = create_action(
        arguments={"day": "x", "--full": True, "n": 3}, run_timeout="2h", worker_type="G.2X",
        workers=4, execution_class="FLEX", run_queuing=True,
    )  # fmt: skip
    assert action.run(glue.create_context(tmp_path)) == {
        "run_id": "jr_1", "state": "SUCCEEDED", "attempt": 1, "seconds": 60, "dpu_seconds": 240.0,
    }  # fmt: skip
    states = [message for _, message, _ in glue.recorded.notes]
    assert states == [f"run jr_1 is {each}" for each in ("WAITING", "RUNNING", "SUCCEEDED")]


def test_a_busy_job_is_waited_for_or_explained(glue: StubbedService, tmp_path: Path) -> None:
    busy = {"service_error_code": "ConcurrentRunsExceededException", "http_status_code": 400}
    for _ in range(2):
        glue.stub.add_client_error("start_job_run", **busy)
    glue.stub.add_client_error("start_job_run", service_error_code="ThrottlingException")
    glue.stub.add_response("start_job_run", {"JobRunId": "jr_1"}, START)
    add_run(glue, "SUCCEEDED", DPUSeconds=7.5)
    assert create_action().run(glue.create_context(tmp_path))["dpu_seconds"] == 7.5
    glue.work.notes.clear()
    glue.stub.add_client_error("start_job_run", **busy)
    with pytest.raises(StepError) as failed:
        create_action(when_busy="fail").run(glue.create_context(tmp_path))
    assert failed.value.type == "ConcurrentRunsExceededException"
    assert "when_busy: wait" in failed.value.hint
    glue.stub.add_client_error("start_job_run", **busy)
    with pytest.raises(StepError, match="was not started within 0 s"):
        create_action(max_wait=0).run(glue.create_context(tmp_path))


def test_an_unknown_outcome_is_not_repeated(glue: StubbedService, tmp_path: Path) -> None:
    glue.stub.add_client_error("start_job_run", service_error_code="InternalFailure")
    with pytest.raises(StepError, match="not known whether a run") as failed:
        create_action().run(glue.create_context(tmp_path))
    assert failed.value.type == "OutcomeUnknown"


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("FAILED", "jr_1 in the log groups /aws-glue/jobs/error"),
        ("TIMEOUT", "raise 'run_timeout'"),
        ("STOPPED", "somebody stopped it"),
        ("EXPIRED", "queued for too long"),
    ],
)
def test_a_bad_end_is_told(state: str, hint: str, glue: StubbedService, tmp_path: Path) -> None:
    glue.stub.add_response("start_job_run", {"JobRunId": "jr_1"}, START)
    add_run(glue, state, ErrorMessage="out of memory")
    with pytest.raises(StepError, match=f"ended as {state}: out of memory") as failed:
        create_action().run(glue.create_context(tmp_path))
    assert (failed.value.type, hint in failed.value.hint) == (f"JobRun{state.title()}", True)
    assert glue.work.notes == {}


def test_a_run_that_was_started_before_is_picked_up(glue: StubbedService, tmp_path: Path) -> None:
    context = glue.create_context(tmp_path)
    assert context.started_work is not None
    context.started_work.write("jr_1")
    for state in ("RUNNING", "SUCCEEDED"):
        add_run(glue, state)
    assert create_action().run(context)["run_id"] == "jr_1"
    assert "waits for run jr_1" in glue.recorded.notes[0][1]


def test_a_run_that_failed_before_is_not_picked_up(glue: StubbedService, tmp_path: Path) -> None:
    context = glue.create_context(tmp_path)
    assert context.started_work is not None
    context.started_work.write("jr_0")
    glue.stub.add_response(
        "get_job_run",
        {"JobRun": {"Id": "jr_0", "JobRunState": "FAILED"}},
        {"JobName": "load", "RunId": "jr_0"},
    )
    glue.stub.add_response("start_job_run", {"JobRunId": "jr_1"}, START)
    add_run(glue, "SUCCEEDED")
    assert create_action().run(context)["run_id"] == "jr_1"


def test_a_run_that_cannot_be_stopped_is_told(glue: StubbedService, tmp_path: Path) -> None:
    glue.stub.add_response("start_job_run", {"JobRunId": "jr_1"}, START)
    add_run(glue, "RUNNING")
    error = {"ErrorDetail": {"ErrorCode": "InvalidInputException", "ErrorMessage": "it ended"}}
    glue.stub.add_response(
        "batch_stop_job_run", {"Errors": [error]}, {"JobName": "load", "JobRunIds": ["jr_1"]}
    )
    with pytest.raises(StepError, match="run jr_1 is RUNNING after 0 s"):
        create_action(max_wait=0).run(glue.create_context(tmp_path))
    level, message, values = glue.recorded.notes[-1]
    assert (level, values) == ("warning", {"reason": "it ended"})
    assert "could not be stopped" in message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": 2, "max_capacity": 1.0}, "without 'workers'"),
        ({"wait": False, "on_stop": "leave"}, "for a step that waits"),
        ({"run_timeout": 90}, "whole minutes"),
        ({"arguments": {"--": "x"}}, "not the name of an argument"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create_action(**fields)
