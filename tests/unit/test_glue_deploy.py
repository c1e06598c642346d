"""The parts of deploying that need no AWS: the job as it should be, what is merged, the job as code, permissions, runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from rolerunner import api
from rolerunner.cli.deploy import deploy as deploy_command
from rolerunner.errors import StepError, UsageError
from rolerunner.glue.bundle.builder import Bundle
from rolerunner.glue.deploy.account import Account
from rolerunner.glue.deploy.emit import render_cloudformation, render_terraform
from rolerunner.glue.deploy.merge import diff_jobs, extract_update, merge_job, merge_tags
from rolerunner.glue.deploy.permissions import build_policies
from rolerunner.glue.deploy.runs import FINAL_STATES, SUCCEEDED, JobRun, JobRuns
from rolerunner.glue.deploy.settings import JobDefinition, define_job, resolve_settings
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.model import JOB, GlueSettings, Job, S3Uri
from rolerunner.sessions.registry import JobIdentity, Keys, Sessions
from rolerunner.spec.glue_fields import GlueFields
from tests.conftest import ROOT

PLACE = "s3://ops/rolerunner/nightly/0123456789abcdef/"
SETTINGS = GlueSettings(
    role="arn:aws:iam::111122223333:role/glue", artifacts=S3Uri("ops", "rolerunner/"), capacity=0.0625, params={"country": "nz"},
    fixed_params={"quoted": 'a "b" ${c} %{d}\n'}, tags={"team": "orders"}, connections=("vpc",), security_configuration="sealed",
)  # fmt: skip
JOB_SPEC = Job("nightly", (), description="Counts.", glue=SETTINGS)
BUNDLE = Bundle(
    Path(),
    "spec/nightly.yaml",
    ("wheels/a.whl", "wheels/b.whl"),
    ("wheels/code.whl",),
    (),
    "0123456789abcdef",
)
SPARK = replace(SETTINGS, runtime="glue-5.1", capacity=None, worker_type="G.2X", workers=4)


def made(settings: GlueSettings = SETTINGS) -> JobDefinition:
    return define_job(replace(JOB_SPEC, glue=settings), settings, BUNDLE, PLACE, "eu-west-1")


# settings


def test_the_table_of_runtimes_and_the_sections_choices_are_the_same() -> None:
    assert tuple(GlueFields.model_fields["runtime"].annotation.__args__) == tuple(RUNTIMES)
    choices = next(option for option in deploy_command.params if option.name == "runtime").type
    assert tuple(choices.choices) == tuple(RUNTIMES)  # type: ignore[attr-defined]


def test_flags_win_over_the_section_and_are_checked_like_it() -> None:
    assert resolve_settings(JOB_SPEC, {"timeout": "90m", "tags": {"a": "b"}}) == replace(
        SETTINGS, timeout=90, tags={"a": "b"}
    )
    assert resolve_settings(JOB_SPEC, {}) == SETTINGS
    assert resolve_settings(JOB_SPEC, {"runtime": "glue-5.1"}).workers == 2
    assert resolve_settings(Job("j", ()), {"artifacts": "s3://ops/p"}).artifacts == S3Uri(
        "ops", "p/"
    )
    for flags, said in [
        ({"timeout": "90s"}, "'timeout' must be whole minutes"),
        ({"workers": 3}, "'workers' is not for the runtime pythonshell: it takes 'capacity'"),
        ({"capacity": 0.5}, "'capacity' must be 0.0625 or 1"),
        ({"artifacts": "ops"}, "'artifacts' must be s3://bucket/key"),
        ({"role": "a b"}, "'role' must be a role's ARN or name"),
    ]:
        with pytest.raises(UsageError, match=re.escape(said)):
            resolve_settings(JOB_SPEC, flags)


def test_what_must_be_said_to_deploy() -> None:
    with pytest.raises(UsageError, match="--job-role"):
        made(replace(SETTINGS, role=""))


# merge


def test_what_is_not_ours_stays_and_what_was_ours_goes() -> None:
    current = {
        "Name": "nightly", "Role": "old", "Timeout": 60, "MaxCapacity": 2.0, "WorkerType": "G.1X", "NumberOfWorkers": 2, "AllocatedCapacity": 2,
        "CreatedOn": 1, "LogUri": "s3://logs/", "SecurityConfiguration": "", "Description": "mine",
        "DefaultArguments": {"--enable-metrics": "true", "--old": "1", "--stage": "dev"}, "NotificationProperty": {"NotifyDelayAfter": 5},
    }  # fmt: skip
    members = frozenset({*current, "ExecutionProperty"} - {"Name", "CreatedOn"})
    last = {"Description": "mine", "DefaultArguments": {"--old": "1"}}
    goal = {
        "Role": "new",
        "Timeout": 60,
        "MaxCapacity": 0.0625,
        "DefaultArguments": {"--new": "2"},
        "NonOverridableArguments": {"--stage": "prod"},
    }
    before = extract_update(current, members, goal)
    after = merge_job(before, last, goal)
    assert after == {
        "Role": "new", "Timeout": 60, "MaxCapacity": 0.0625, "LogUri": "s3://logs/", "NotificationProperty": {"NotifyDelayAfter": 5},
        "ExecutionProperty": {"MaxConcurrentRuns": 1}, "DefaultArguments": {"--enable-metrics": "true", "--new": "2"},
        "NonOverridableArguments": {"--stage": "prod"},
    }  # fmt: skip
    assert [str(change) for change in diff_jobs(before, after)] == [
        "+ DefaultArguments.--new: 2",
        "- DefaultArguments.--old: 1",
        "- DefaultArguments.--stage: dev",
        "- Description: mine",
        "~ MaxCapacity: 2.0 -> 0.0625",
        "+ NonOverridableArguments.--stage: prod",
        "~ Role: old -> new",
    ]
    assert merge_tags({"a": "1", "b": "2"}, {"a": "1"}, {"c": "3"}) == {"b": "2", "c": "3"}


def test_a_difference_shows_no_secret_and_no_endless_list() -> None:
    long = ",".join(f"s3://bucket/folder/wheel-{number}.whl" for number in range(12))
    shown = [
        str(change)
        for change in diff_jobs(
            {}, {"A": {"--x": long, "--y": "", "--z": "aws_secret_access_key=abcdefghijklmnop"}}
        )
    ]
    assert shown == [
        "+ A.--x: s3://bucket/folder/wheel-0.whl and 11 more",
        "+ A.--y: ''",
        "+ A.--z: aws_secret_access_key=[redacted]",
    ]


# as code


@pytest.mark.once
@pytest.mark.parametrize("settings", [SETTINGS, SPARK], ids=["pythonshell", "spark"])
def test_cloudformation_is_what_its_linter_takes(settings: GlueSettings) -> None:
    from cfnlint.api import ManualArgs, lint

    text = render_cloudformation(made(settings))
    assert [str(match) for match in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []
    properties = json.loads(text)["Resources"]["Nightly"]["Properties"]
    assert properties == {"Name": "nightly", **made(settings).job, "Tags": {"team": "orders"}}


@pytest.mark.once
@pytest.mark.parametrize("role", ["arn:aws:iam::111122223333:role/glue", "glue"])
@pytest.mark.parametrize("settings", [SETTINGS, SPARK], ids=["pythonshell", "spark"])
def test_terraform_says_the_same(settings: GlueSettings, role: str) -> None:
    import hcl2

    goal = made(replace(settings, role=role))
    read = hcl2.loads(render_terraform(goal))
    job = plain(read["resource"][0])["aws_glue_job"]["nightly"]
    assert job["role_arn"] == (role if role.startswith("arn:") else "${data.aws_iam_role.job.arn}")
    assert job["command"][0]["script_location"] == f"{PLACE}run_spec.py"
    assert job["glue_version"] == goal.job["GlueVersion"]
    assert job["max_retries"] == 0
    assert job["default_arguments"] == goal.job["DefaultArguments"]
    assert job["tags"] == {"team": "orders"}
    assert ("worker_type" in job, "max_capacity" in job) == (
        settings is SPARK,
        settings is SETTINGS,
    )
    assert '"--quoted"   = "a \\"b\\" $${c} %%{d}\\n"' in render_terraform(goal)


def plain(value: Any) -> Any:
    """Without the quotes that python-hcl2 leaves around strings, and without its own marks."""
    if isinstance(value, dict):
        return {
            plain(key): plain(each) for key, each in value.items() if not str(key).startswith("__")
        }
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value[1:-1] if isinstance(value, str) and value.startswith('"') else value


# permissions


def test_permissions_name_what_is_used(tmp_path: Path) -> None:
    spec = tmp_path / "nightly.yaml"
    spec.write_text(
        "version: 1\nname: nightly\nroles: {hub: arn:aws:iam::444455556666:role/hub, far: {arn: arn:aws:iam::444455556666:role/far, via: hub}}\n"
        "glue: {role: arn:aws:iam::111122223333:role/glue, artifacts: s3://ops/rolerunner/, region: eu-west-1, result: s3://ops/results/,"
        " connections: [vpc]}\n"
        "steps:\n  - {id: a, action: s3.list, role: far, source: s3://theirs/x/}\n  - {id: b, action: s3.list, role: job, source: s3://mine/y/}\n"
    )
    job = api.load(spec)
    assert job.glue is not None
    found = build_policies(api.plan(job), job.glue)
    ours, theirs = (found[name]["Statement"] for name in ("deployer", "job"))
    assert {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::ops/rolerunner/nightly/*",
    } in theirs
    assert {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::ops/results/*",
    } in theirs
    assumed = [each["Resource"] for each in theirs if "sts:AssumeRole" in each["Action"]]
    assert assumed == ["arn:aws:iam::444455556666:role/hub"]  # the other is assumed from the hub
    assert any(each["Resource"] == "arn:aws:s3:::mine" for each in theirs)
    assert not any("theirs" in str(each) for each in theirs)
    assert any("ec2:CreateNetworkInterface" in each["Action"] for each in theirs)
    passed = next(each for each in ours if each["Action"] == "iam:PassRole")
    assert passed["Resource"] == "arn:aws:iam::111122223333:role/glue"
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
    assert any(
        each["Resource"] == "arn:aws:glue:eu-west-1:111122223333:job/nightly" for each in ours
    )


# runs: what the emulator's Glue lacks, checked against botocore's models


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


def test_who_may_not_read_logs_still_gets_glues_reason(account: Account) -> None:
    run = JobRun("jr_1", "ERROR", 1, 1.0, "Out of memory", "/aws-glue/jobs")
    with stubbed(account, "logs") as logs:
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


def event(number: int, text: str) -> dict[str, Any]:
    return {"timestamp": number, "eventId": str(number), "message": text, "logStreamName": "jr_1"}


# the house


def test_glues_api_is_called_in_its_own_room_alone() -> None:
    package = ROOT / "framework/rolerunner"
    called = re.compile(r"""client\([^)]*["']glue["']|\.call\(\s*["']glue["']""")
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if called.search(path.read_text())
    }
    assert found == {"glue"}


def test_the_script_that_is_shipped_is_the_one_in_jobs() -> None:
    assert (ROOT / "jobs/run_spec.py").read_bytes() == (
        ROOT / "framework/rolerunner/glue/launch/run_spec.py"
    ).read_bytes()
