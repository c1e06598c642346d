"""Tests how the sandbox carries out a run of a Glue job, on the embedded AWS."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rolerunner
from rolerunner.errors import SandboxError
from rolerunner.glue.rehearsal.sandboxed_run import Ended, SandboxedRun, carry_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner import sandbox

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/glue-nightly
roles:
  - arn: arn:aws:iam::111122223333:role/glue-nightly
    trust: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: sts:AssumeRole}]
    permissions:
      - {Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::code/*"}
      - {Effect: Allow, Action: "logs:*", Resource: "*"}
  - arn: arn:aws:iam::111122223333:role/without-log
    trust: [{Effect: Allow, Principal: {Service: [glue.amazonaws.com]}, Action: sts:AssumeRole}]
    permissions: [{Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::code/*"}]
  - arn: arn:aws:iam::111122223333:role/untrusting
    trust: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::111122223333:root"},
             Action: sts:AssumeRole}]
buckets:
  - {name: code, account: "111122223333"}
  - {name: closed, account: "111122223333", objects: [{key: job.py, text: ""}]}
"""
SCRIPT = """
import json, os, sys
print(json.dumps(sys.argv[1:]))
print(os.environ["AWS_ENDPOINT_URL"], "AWS_PROFILE" in os.environ)
print("to the errors", file=sys.stderr)
"""


def carry_out_script(
    aws: sandbox.Sandbox,
    text: str,
    *,
    spark: bool = False,
    watch: Callable[[Callable[[], None]], None] = lambda _: None,
    **fields: Any,
) -> Ended:
    aws.client("s3", ACCOUNT).put_object(Bucket="code", Key="job.py", Body=text.encode())
    job = {
        "Role": "glue-nightly",
        "Command": {
            "Name": "glueetl" if spark else "pythonshell",
            "ScriptLocation": "s3://code/job.py",
        },
        "GlueVersion": "5.1" if spark else "3.0",
        "DefaultArguments": {"--country": "nz", "--day": "1"},
        "NonOverridableArguments": {"--stage": "prod"},
        **fields,
    }
    run_id = f"jr_{threading.get_native_id()}_{id(fields)}"
    given = {} if "NonOverridableArguments" in fields else {"--day": "2", "--stage": "dev"}
    run = {"Id": run_id, "JobName": "nightly", "Arguments": given}
    return carry_out(SandboxedRun(job, run, aws.endpoint, ACCOUNT, aws.region), watch)


def read_log(aws: sandbox.Sandbox, group: str) -> list[str]:
    """Returns the lines of a log group and forgets it."""
    logs = aws.client("logs", ACCOUNT)
    events = logs.filter_log_events(logGroupName=group)["events"]
    logs.delete_log_group(logGroupName=group)
    return [event["message"] for event in events]


def test_python_shell_gets_merged_arguments_and_two_logs(
    aws: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLUE_COMMAND_CRITERIA", "")
    assert carry_out_script(aws, SCRIPT) == Ended("SUCCEEDED")
    given, environment = read_log(aws, "/aws-glue/python-jobs/output")
    arguments = json.loads(given)
    pairs = dict(zip(arguments[::2], arguments[1::2]))
    assert (pairs["--country"], pairs["--day"], pairs["--stage"]) == ("nz", "2", "prod")
    assert environment == f"{aws.endpoint} False"
    assert read_log(aws, "/aws-glue/python-jobs/error") == ["to the errors"]


def test_spark_logs_output_and_errors_where_its_arguments_say(aws: sandbox.Sandbox) -> None:
    arguments = {"--custom-logGroup-prefix": "/teams/orders", "--custom-logStream-prefix": "mine"}
    ended = carry_out_script(aws, SCRIPT, spark=True, DefaultArguments=arguments)
    assert ended == Ended("SUCCEEDED")
    streams = aws.client("logs", ACCOUNT).describe_log_streams(logGroupName="/teams/orders/output")
    assert [each["logStreamName"] for each in streams["logStreams"]] == ["mine-driver"]
    lines = read_log(aws, "/teams/orders/output")
    # the two streams of a process have no order
    (first,) = [line for line in lines if line.startswith("[")]
    assert json.loads(first)[:2] == ["--JOB_NAME", "nightly"]
    assert "to the errors" in lines


@pytest.mark.parametrize(
    ("script", "spark", "reason"),
    [
        ("raise RuntimeError('the reason')", True, "RuntimeError: the reason"),
        ("raise SystemExit(0)", True, "sys.exit(0), which fails a Spark job with any code"),
        ("raise RuntimeError('the reason')", False, "Command failed with exit code 1"),
        ("raise SystemExit(3)", False, "Command failed with exit code 3"),
    ],
)
def test_a_failed_script_has_the_reason_that_glue_shows(
    script: str, spark: bool, reason: str, aws: sandbox.Sandbox
) -> None:
    assert carry_out_script(aws, script, spark=spark) == Ended("FAILED", reason)


def test_a_run_is_killed_at_its_timeout_and_when_it_is_stopped(aws: sandbox.Sandbox) -> None:
    endless = "import subprocess; subprocess.run(['sleep', '60'])"
    assert carry_out_script(aws, endless, Timeout=0.005).state == "TIMEOUT"

    def stop_soon(stop: Callable[[], None]) -> None:
        threading.Timer(0.3, stop).start()

    assert carry_out_script(aws, endless, watch=stop_soon) == Ended("STOPPED")


def make_archive(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in files.items():
            file.writestr(name.replace("__", "/", 1), data)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("spark", "argument", "name"),
    [
        (False, "--extra-py-files", "merged-0-py3-none-any.whl"),
        (True, "--additional-python-modules", "wheels.gluewheels.zip"),
        (True, "--extra-py-files", "code.zip"),
    ],
)
def test_code_of_the_deployment_is_imported_and_its_rolerunner_is_not(
    spark: bool, argument: str, name: str, aws: sandbox.Sandbox
) -> None:
    team = {"of_the_team.py": b"VALUE = 7", "rolerunner__broken.py": b""}
    data = make_archive(**team)
    if name.endswith("gluewheels.zip"):
        data = make_archive(**{"wheels__code-0-py3-none-any.whl": data})
    aws.client("s3", ACCOUNT).put_object(Bucket="code", Key=name, Body=data)
    script = (
        "import of_the_team, rolerunner, sys\n"
        "assert of_the_team.VALUE == 7\n"
        "assert rolerunner.__path__[0].startswith(sys.argv[-1]), rolerunner.__path__\n"
    )
    arguments = {argument: f"s3://code/{name}", "--ours": str(Path(rolerunner.__file__).parent)}
    ended = carry_out_script(
        aws, script, spark=spark, DefaultArguments=arguments, NonOverridableArguments={}
    )
    assert ended == Ended("SUCCEEDED")


def test_a_role_without_a_log_runs_and_one_that_glue_may_not_assume_does_not(
    aws: sandbox.Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/without-log"
    assert carry_out_script(aws, "print('lost')", Role=role) == Ended("SUCCEEDED")
    assert "log of /aws-glue/python-jobs/output/jr_" in capsys.readouterr().err
    with pytest.raises(SandboxError, match=r"does not allow glue\.amazonaws\.com to assume it"):
        carry_out_script(aws, "", Role=f"arn:aws:iam::{ACCOUNT}:role/untrusting")


def test_a_script_that_the_role_may_not_read_and_an_unknown_kind_of_job_are_refused(
    aws: sandbox.Sandbox,
) -> None:
    closed = {"Name": "pythonshell", "ScriptLocation": "s3://closed/job.py"}
    with pytest.raises(SandboxError, match=r"s3://closed/job\.py cannot be read under the job's"):
        carry_out_script(aws, "", Command=closed)
    with pytest.raises(SandboxError, match="the sandbox runs no jobs of gluestreaming"):
        carry_out_script(aws, "", Command={**closed, "Name": "gluestreaming"})
