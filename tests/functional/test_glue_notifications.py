"""Glue jobs that tell how they ended: of wrong specs and params, SIGTERM and the deadline, too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.glue.launch.notified import NOTIFIED_EXIT_STATUS
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox
    from rolerunner.sandbox.messages import RecordedMessage

ACCOUNT = "111122223333"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
CLOSED = "arn:aws:sns:eu-west-1:111122223333:closed"
WORLD = f"""
version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - arn: arn:aws:iam::111122223333:role/job
    permissions:
      - {{Effect: Allow, Action: sns:Publish, Resource: "{TOPIC}"}}
      - {{Effect: Allow, Action: [s3:GetObject, s3:PutObject], Resource: "arn:aws:s3:::specs/*"}}
      - {{Effect: Allow, Action: sts:AssumeRole, Resource: "*"}}
buckets: [{{name: specs, account: "111122223333"}}]
topics: [{{arn: "{TOPIC}"}}, {{arn: "{CLOSED}"}}]
"""
HEAD = f"""
version: 1
name: nightly
params: {{day: {{type: date, required: true}}, lines: {{type: integer, default: 1}}}}
roles: {{nobody: "arn:aws:iam::222233334444:role/nobody"}}
notify: [{{on: EVENTS, sns: "{TOPIC}", role: job}}]
steps:
"""
SLEEP = (
    '  - {id: sleep, action: python.call, function: "jobs_of_test:sleep", '
    'arguments: {lines: "${{ params.lines }}"}}\n'
    '  - {id: after, action: python.call, function: "jobs_of_test:sleep", arguments: {lines: 1}}\n'
)
FAILS = (
    '  - {id: fail, action: python.call, function: "jobs_of_test:fail", arguments: {lines: 1}}\n'
)
REFUSED = "  - {id: find, action: s3.list, role: nobody, source: s3://specs/}\n"
FUNCTIONS = """
def sleep(context, lines):
    for number in range(lines):
        context.log(f"line {number}")
        context.cancel.wait(0.4)

def fail(context, lines):
    raise ValueError("no orders for today")
"""
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch(aws: Sandbox, tmp_path: Path) -> Launch:
    """Starts a copy of the entry script as Glue does, with a spec in S3."""
    folder = tmp_path / "glue-python-scripts-x1y2"
    folder.mkdir()
    script = shutil.copy(ROOT / "jobs/run_spec.py", folder)
    (tmp_path / "jobs_of_test.py").write_text(FUNCTIONS)
    keys = aws.job_keys
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": "eu-west-1",
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
    }

    def start(spec: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
        s3 = aws.client("s3", ACCOUNT)
        s3.put_object(Bucket="specs", Key="nightly.yaml", Body=spec.encode())
        given = ["--job_spec", "s3://specs/nightly.yaml", "--result", "s3://specs/result.json"]
        return subprocess.Popen(
            [sys.executable, "-W", "error", script, *given, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **more},
            cwd=tmp_path,
        )

    return start


def spec_of(steps: str, events: str = "[failed]") -> str:
    return HEAD.replace("EVENTS", events) + steps


def wait_for_exit(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


def last_message(aws: Sandbox) -> RecordedMessage:
    return [each for each in aws.messages() if each.target == TOPIC][-1]


def read_result(aws: Sandbox) -> dict[str, Any]:
    body = aws.client("s3", ACCOUNT).get_object(Bucket="specs", Key="result.json")["Body"].read()
    result: dict[str, Any] = json.loads(body)
    return result


DAY = ("--day", "2026-01-01")


@pytest.mark.parametrize("runtime", ["pythonshell", "glueetl"])
def test_a_failed_step_is_told_after_the_result_is_written(
    aws: Sandbox, launch: Launch, runtime: str
) -> None:
    before = len(aws.requests())
    spark = {"GLUE_COMMAND_CRITERIA": "glueetl"} if runtime == "glueetl" else {}
    glue = ("--JOB_NAME", "nightly-job", "--JOB_RUN_ID", "jr_1") if spark else ()
    code, lines, err = wait_for_exit(launch(spec_of(FAILS), *DAY, *glue, **spark))
    message = last_message(aws)
    assert message.subject == "rolerunner: nightly failed at step fail"
    assert "no orders for today" in message.text
    assert "Result: s3://specs/result.json" in message.text
    assert ("Glue job run: nightly-job jr_1" in message.text) is bool(spark)
    assert "no orders for today" in read_result(aws)["steps"][0]["error"]["message"]
    sent = [each.operation for each in aws.requests()[before:] if not each.is_admin]
    assert sent.index("PutObject") < sent.index("Publish")
    assert sent.count("PutObject") == 1
    assert lines[-1].startswith("rolerunner: nightly: step 'fail' failed")
    if spark:
        assert (code, err.splitlines()[-1].split(":")[0]) == (
            1, "rolerunner.glue.launch.entry.NotifiedFailure"
        )  # fmt: skip
    else:
        assert (code, err) == (NOTIFIED_EXIT_STATUS, "")


@pytest.mark.parametrize(
    ("steps", "arguments", "reason"),
    [
        ("  - {id: find, action: s3.lst, role: job}\n", DAY, "unknown action 's3.lst'"),
        (SLEEP, ("--day", "soon"), "the param 'day' must be a date"),
        (SLEEP, (), "day"),
        (SLEEP, (*DAY, "--lines", "1", "--lines", "2"), "given more than once"),
        ("  - nothing\nmax_parallel: none\n", DAY, "must be"),
    ],
)
def test_a_wrong_spec_and_wrong_params_are_told(
    aws: Sandbox, launch: Launch, steps: str, arguments: tuple[str, ...], reason: str
) -> None:
    code, _, _ = wait_for_exit(launch(spec_of(steps, "invalid"), *arguments))
    message = last_message(aws)
    assert code == NOTIFIED_EXIT_STATUS
    assert message.subject == "rolerunner: nightly has an invalid spec or params"
    assert reason in message.text


def test_a_spec_whose_targets_cannot_be_read_is_told_to_nobody(
    aws: Sandbox, launch: Launch
) -> None:
    before = len(aws.messages())
    code, lines, err = wait_for_exit(launch("version: 1\nname: nightly\nnotify: [{on: failed"))
    assert (code, len(aws.messages())) == (1, before)
    assert "Traceback" not in "\n".join(lines)
    assert err.splitlines()[-1].startswith("rolerunner.glue.launch.entry.JobFailed: ")


def test_a_refused_role_is_told(aws: Sandbox, launch: Launch) -> None:
    code, _, _ = wait_for_exit(launch(spec_of(REFUSED, "refused"), *DAY))
    message = last_message(aws)
    assert code == NOTIFIED_EXIT_STATUS
    assert message.subject == "rolerunner: nightly was refused a role at step find"
    assert "1 role was refused, no step ran" in message.text


def test_the_end_by_a_signal_is_told(aws: Sandbox, launch: Launch) -> None:
    process = launch(spec_of(SLEEP, "stopped"), *DAY, "--lines", "100")
    assert process.stdout is not None
    while "line 0" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    wait_for_exit(process)
    assert time.monotonic() - began < 10
    assert last_message(aws).subject == "rolerunner: nightly was stopped"


def test_the_deadline_is_told_as_a_failure(aws: Sandbox, launch: Launch) -> None:
    arguments = (*DAY, "--lines", "20", "--deadline", "2s")
    code, _, _ = wait_for_exit(launch(spec_of(SLEEP), *arguments))
    message = last_message(aws)
    assert code == NOTIFIED_EXIT_STATUS
    assert "Glue's timeout was near" in message.text


def test_a_failure_that_one_target_misses_is_left_to_the_rule(aws: Sandbox, launch: Launch) -> None:
    spec = spec_of(FAILS).replace(
        "notify: [", f'notify: [{{on: failed, sns: "{CLOSED}", role: job}}, '
    )
    code, lines, err = wait_for_exit(launch(spec, *DAY))
    assert code == 1
    assert "JobFailed" in err.splitlines()[-1]
    failed = [json.loads(line) for line in lines if "notification_failed" in line]
    assert [each["type"] for each in failed] == ["AccessDenied"]
