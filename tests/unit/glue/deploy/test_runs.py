"""Tests runs of a Glue job against botocore's models: the emulator's Glue has no such calls."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

import pytest
from botocore.stub import Stubber

from rolerunner.errors import StepError, UsageError
from rolerunner.glue.deploy.account import Account
from rolerunner.glue.deploy.runs import FINAL_STATES, SUCCEEDED, JobRun, JobRuns
from rolerunner.model import JOB
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions


@pytest.fixture
def account() -> Account:
    return Account(
        Sessions(JobIdentity("eu-west-1", keys=Keys("AKIDEXAMPLE", "secret-of-the-test", None))),
        JOB,
        "eu-west-1",
    )


def stubbed(account: Account, service: str) -> Stubber:
    return Stubber(account.sessions.client(JOB, service, region="eu-west-1"))


@pytest.mark.parametrize("state", [state for state in FINAL_STATES if state != SUCCEEDED])
def test_every_bad_end_ends_the_wait_and_says_why(state: str, account: Account) -> None:
    asked = {"JobName": "nightly", "RunId": "jr_1"}
    seen: list[str] = []
    with stubbed(account, "glue") as glue, stubbed(account, "logs") as logs:
        glue.add_response(
            "get_job_run", {"JobRun": {"Id": "jr_1", "JobRunState": "WAITING"}}, asked
        )
        glue.add_response(
            "get_job_run",
            {"JobRun": {"Id": "jr_1", "JobRunState": "RUNNING", "ExecutionTime": 5}},
            asked,
        )
        over = {
            "Id": "jr_1",
            "JobRunState": state,
            "ExecutionTime": 60,
            "MaxCapacity": 0.0625,
            "ErrorMessage": "Command failed with exit code 1",
        }
        glue.add_response("get_job_run", {"JobRun": over}, asked)
        logs.add_client_error("filter_log_events", "ResourceNotFoundException")
        logs.add_client_error("filter_log_events", "ResourceNotFoundException")
        runs = JobRuns(account, "nightly", "pythonshell")
        run = runs.wait("jr_1", lambda run: seen.append(run.state), interval=0.01)
        assert seen == ["WAITING", "RUNNING", state]
        assert (run.is_over, run.seconds, run.dpu_seconds) == (True, 60, 3.75)
        assert runs.reason(run) == "Command failed with exit code 1"


def test_the_scripts_last_line_is_the_reason_and_pages_of_logs_are_read_on(
    account: Account,
) -> None:
    run = JobRun.of(
        {"Id": "jr_1", "JobRunState": "FAILED", "LogGroupName": "/aws-glue/sealed-role/"},
        "/aws-glue/python-jobs",
    )
    asked = {
        "logGroupName": "/aws-glue/sealed-role/output",
        "logStreamNamePrefix": "jr_1",
        "startTime": 0,
        "filterPattern": '"rolerunner: "',
    }
    with stubbed(account, "logs") as logs:
        logs.add_response(
            "filter_log_events",
            {"events": [event(1, '{"event": "run_started"}')], "nextToken": "more"},
            asked,
        )
        logs.add_response(
            "filter_log_events",
            {"events": []},
            {**asked, "logGroupName": "/aws-glue/sealed-role/error"},
        )
        logs.add_response(
            "filter_log_events",
            {"events": [event(2, "rolerunner: nightly: no such bucket\n")]},
            {**asked, "nextToken": "more"},
        )
        assert JobRuns(account, "nightly", "pythonshell").reason(run) == "nightly: no such bucket"


def test_pages_of_a_log_that_do_not_end_are_an_error(account: Account) -> None:
    run = JobRun("jr_1", "RUNNING", 1, 1.0, "", "/aws-glue/python-jobs")
    with stubbed(account, "logs") as logs:
        for _ in range(4):
            logs.add_response("filter_log_events", {"events": [], "nextToken": "again"})
        with pytest.raises(StepError, match="do not end"):
            list(JobRuns(account, "nightly", "pythonshell").lines(run))


def test_who_may_not_read_logs_still_gets_glues_reason(account: Account) -> None:
    run = JobRun("jr_1", "ERROR", 1, 1.0, "Out of memory", "/aws-glue/jobs")
    with stubbed(account, "glue") as glue, stubbed(account, "logs") as logs:
        glue.add_client_error("get_job", "AccessDeniedException", http_status_code=400)
        logs.add_client_error("filter_log_events", "AccessDeniedException")
        assert JobRuns(account, "nightly", "glue-5.1").reason(run) == "Out of memory"


def test_the_wait_outlives_a_network_that_is_gone_for_a_while_but_not_a_refusal(
    account: Account,
) -> None:
    runs = JobRuns(account, "nightly", "glue-5.1")
    with stubbed(account, "glue") as glue:
        for code in ("InternalServiceException", "OperationTimeoutException"):
            glue.add_client_error("get_job_run", code)
        glue.add_response("get_job_run", {"JobRun": {"Id": "jr_1", "JobRunState": "SUCCEEDED"}})
        assert runs.wait("jr_1", lambda _: None, interval=0.01).state == SUCCEEDED
        glue.add_client_error("get_job_run", "AccessDeniedException", http_status_code=400)
        with pytest.raises(StepError, match="GetJobRun"):
            runs.wait("jr_1", lambda _: None, interval=0.01)
        for _ in range(6):
            glue.add_client_error("get_job_run", "InternalServiceException")
        with pytest.raises(StepError, match="GetJobRun"):
            runs.wait("jr_1", lambda _: None, interval=0.01)


def test_a_run_that_is_going_on_says_what_to_do(account: Account) -> None:
    with stubbed(account, "glue") as glue:
        glue.add_client_error(
            "start_job_run",
            "ConcurrentRunsExceededException",
            "Concurrent runs exceeded for nightly",
        )
        with pytest.raises(StepError) as caught:
            JobRuns(account, "nightly", "pythonshell").start({"run_date": "2026-01-31"})
    assert "max_concurrent_runs" in caught.value.hint


BOUNDED = {
    "Id": "jr_1",
    "JobRunState": "SUCCEEDED",
    "StartedOn": datetime(2026, 1, 31, 2, tzinfo=timezone.utc),
    "CompletedOn": datetime(2026, 1, 31, 3, tzinfo=timezone.utc),
}
STARTED = 1_769_824_800_000


def test_logs_are_read_from_the_start_of_the_run_on(account: Account) -> None:
    run = JobRun.of(BOUNDED, "/aws-glue/python-jobs")
    asked = {"logStreamNamePrefix": "jr_1", "startTime": STARTED}
    with stubbed(account, "logs") as logs:
        for name in ("output", "error"):
            logs.add_response(
                "filter_log_events",
                {"events": [event(STARTED, name)]},
                {**asked, "logGroupName": f"/aws-glue/python-jobs/{name}"},
            )
        lines = JobRuns(account, "nightly", "pythonshell").lines(run)
        assert [line.text for line in lines] == ["output", "error"]


def test_custom_prefixes_of_glue_5_are_followed_and_other_runs_left_out(account: Account) -> None:
    started = {**BOUNDED, "Arguments": {"--custom-logStream-prefix": "mine"}}
    run = JobRun.of(started, "/aws-glue/jobs")
    job = {
        "Name": "nightly",
        "DefaultArguments": {
            "--custom-logGroup-prefix": "/teams/orders",
            "--custom-logStream-prefix": "everybody",
        },
    }
    asked = {
        "logStreamNamePrefix": "mine",
        "startTime": STARTED,
        "endTime": STARTED + 3_660_000,
    }
    streams = ("mine-driver", "mine-jr_1-driver", "mine-jr_2-driver", "mine-3")
    with stubbed(account, "glue") as glue, stubbed(account, "logs") as logs:
        glue.add_response("get_job", {"Job": job}, {"JobName": "nightly"})
        logs.add_response(
            "filter_log_events",
            {"events": [event(STARTED, each, each) for each in streams]},
            {**asked, "logGroupName": "/teams/orders/output"},
        )
        logs.add_response(
            "filter_log_events", {"events": []}, {**asked, "logGroupName": "/teams/orders/error"}
        )
        lines = JobRuns(account, "nightly", "glue-5.1").lines(run)
        assert [line.text for line in lines] == ["mine-driver", "mine-jr_1-driver", "mine-3"]


def event(number: int, text: str, stream: str = "jr_1") -> dict[str, Any]:
    return {"timestamp": number, "eventId": str(number), "message": text, "logStreamName": stream}


@pytest.mark.parametrize(
    ("job_spec", "name", "message"),
    [
        ("s3://b/t.yaml#prod", "prod", ""),
        ("s3://b/t.yaml", "", ""),
        ("s3://b/t.yaml#prod", "", "runs the environment 'prod': add --env prod"),
        ("s3://b/t.yaml#prod", "dev", "runs the environment 'prod': add --env prod, not 'dev'"),
        ("s3://b/t.yaml", "dev", "runs no environment, not 'dev'"),
        (None, "dev", ""),
    ],
)
def test_a_job_of_another_environment_is_not_started(
    account: Account, job_spec: Optional[str], name: str, message: str
) -> None:
    """None stands for a job that may not be read."""
    with stubbed(account, "glue") as glue:
        if job_spec is None:
            glue.add_client_error("get_job", "AccessDeniedException")
        else:
            fixed = {"--job_spec": job_spec}
            glue.add_response("get_job", {"Job": {"NonOverridableArguments": fixed}})
        runs = JobRuns(account, "nightly", "pythonshell")
        if message:
            with pytest.raises(UsageError, match=message):
                runs.require_environment(name)
        else:
            runs.require_environment(name)
