"""``deploy``, ``start`` and ``logs`` on the emulator's Glue, with the printed permissions only."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from tests.in_process import Call, create_command, use_job_identity

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/deployer
roles:
  - {arn: "arn:aws:iam::111122223333:role/deployer"}
  - {arn: "arn:aws:iam::111122223333:role/glue-nightly",
     trust: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: sts:AssumeRole}]}
  - arn: arn:aws:iam::111122223333:role/reader
    trust: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::111122223333:role/glue-nightly"},
            Action: sts:AssumeRole}]
    permissions: [{Effect: Allow, Action: s3:ListBucket, Resource: "arn:aws:s3:::landing"}]
buckets:
  - {name: ops-bucket, account: "111122223333"}
  - {name: landing, account: "111122223333", objects: [{key: 2026-01-31/a.csv, text: a}]}
"""
SPEC = """
version: 1
name: nightly
description: Counts what came.
params:
  run_date: {type: date, required: true}
  country: {type: string, default: nz}
  stage: {type: choice, choices: [dev, prod], default: dev}
roles: {reader: arn:aws:iam::111122223333:role/reader}
glue:
  runtime: pythonshell
  role: arn:aws:iam::111122223333:role/glue-nightly
  artifacts: s3://ops-bucket/rolerunner/
  timeout: 1h
  params: {country: au}
  fixed_params: {stage: prod}
  result: s3://ops-bucket/results/
steps:
  - {id: find, action: s3.list, role: reader, source: "s3://landing/${{ params.run_date }}/"}
"""


@pytest.fixture
def glue(aws: sandbox.Sandbox) -> Any:
    return aws.client("glue", ACCOUNT)


@pytest.fixture(scope="module")
def permitted(aws: sandbox.Sandbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The deployer's role has what the command prints."""
    from rolerunner import api
    from rolerunner.glue.deploy.permissions import build_policies
    from rolerunner.glue.deploy.settings import resolve_settings

    path = tmp_path_factory.mktemp("spec") / "nightly.yaml"
    path.write_text(SPEC)
    job = api.load(path, complete=False)
    for name in ("nightly", "spark", "taken"):
        policy = build_policies(
            api.plan(job), resolve_settings(job, {"job_name": name, "region": aws.region})
        )["deployer"]
        for statement in policy["Statement"]:
            if "glue:" in str(statement["Action"]):
                statement["Resource"] = (
                    # the emulator looks at actions of Glue, and takes every resource of theirs for
                    # '*'
                    "*"
                )
        aws.client("iam", ACCOUNT).put_role_policy(
            RoleName="deployer", PolicyName=name, PolicyDocument=json.dumps(policy)
        )


@pytest.fixture
def run_command(
    aws: sandbox.Sandbox,
    permitted: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """The command as the deployer, in this process: there are many of them."""
    use_job_identity(monkeypatch, aws)
    return create_command(monkeypatch, capsys)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return path


def check_success(completed: subprocess.CompletedProcess[str]) -> str:
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def keys_of(aws: sandbox.Sandbox) -> list[str]:
    return [
        each["Key"]
        for each in aws.client("s3", ACCOUNT)
        .list_objects_v2(Bucket="ops-bucket")
        .get("Contents", [])
    ]


def test_a_job_is_planned_made_changed_and_rolled_back(
    aws: sandbox.Sandbox, glue: Any, run_command: Call, spec: Path
) -> None:
    planned = check_success(run_command("deploy", spec, "--plan"))
    assert "Glue job nightly is made:" in planned
    assert "+ MaxCapacity: 0.0625" in planned
    assert keys_of(aws) == []
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_job(JobName="nightly")

    deployed = check_success(run_command("deploy", spec))
    job = glue.get_job(JobName="nightly")["Job"]
    first = deployed.rsplit("deployed ", 1)[1].split()[0]
    prefix = f"s3://ops-bucket/rolerunner/nightly/{first}/"
    assert job["Command"] == {
        "Name": "pythonshell",
        "PythonVersion": "3.9",
        "ScriptLocation": f"{prefix}run_spec.py",
    }
    assert (job["GlueVersion"], job["MaxCapacity"], job["MaxRetries"], job["Timeout"]) == (
        "3.0",
        0.0625,
        0,
        60,
    )
    assert job["NonOverridableArguments"] == {
        "--job_spec": f"{prefix}spec/nightly.yaml",
        "--stage": "prod",
    }
    arguments = job["DefaultArguments"]
    wheel = arguments.pop("--extra-py-files")
    assert arguments == {
        "--country": "au",
        "--deadline": "3420s",
        "--aws_region": aws.region,
        "library-set": "analytics",
        "--result": "s3://ops-bucket/results/",
    }
    assert wheel.startswith(f"{prefix}wheels/rolerunner_bundle-")
    stored = {f"s3://ops-bucket/{key}" for key in keys_of(aws)}
    assert {
        wheel,
        f"{prefix}run_spec.py",
        f"{prefix}spec/nightly.yaml",
        f"{prefix}manifest.json",
    } <= stored

    count_before = len(aws.requests("s3"))
    assert check_success(run_command("deploy", spec)) == "Glue job nightly: no change\n"
    assert [
        each.operation
        for each in aws.requests("s3")[count_before:]
        if each.operation in ("PutObject", "CreateMultipartUpload")
    ] == []

    assert "~ Timeout: 60 -> 120" in check_success(run_command("deploy", spec, "--timeout", "2h"))
    assert glue.get_job(JobName="nightly")["Job"]["DefaultArguments"]["--deadline"] == "6840s"
    assert "~ Timeout: 120 -> 60" in check_success(
        run_command("deploy", spec, "--rollback", "--plan")
    )
    assert glue.get_job(JobName="nightly")["Job"]["Timeout"] == 120
    assert f"rolled back to {first}, deployed 20" in check_success(
        run_command("deploy", spec, "--rollback")
    )
    assert glue.get_job(JobName="nightly")["Job"]["Timeout"] == 60
    nowhere = run_command("deploy", spec, "--rollback", "abcdef")
    assert nowhere.returncode == 2
    assert (
        "there is no deployment abcdef to roll back to under "
        f"s3://ops-bucket/rolerunner/nightly/ (found: {first})"
    ) in nowhere.stderr


@pytest.mark.parametrize(("name", "runtime"), [("nightly", "pythonshell"), ("spark", "glue-5.1")])
def test_what_was_deployed_runs_with_the_permissions_that_are_printed(
    name: str,
    runtime: str,
    aws: sandbox.Sandbox,
    glue: Any,
    run_command: Call,
    spec: Path,
    tmp_path: Path,
) -> None:
    check_success(run_command("deploy", spec, "--job-name", name, "--runtime", runtime))
    printed = json.loads(
        check_success(run_command("deploy", spec, "--permissions", "--job-name", name))
    )
    aws.client("iam", ACCOUNT).put_role_policy(
        RoleName="glue-nightly", PolicyName="printed", PolicyDocument=json.dumps(printed["job"])
    )
    job = glue.get_job(JobName=name)["Job"]
    script = tmp_path / "glue-python-scripts-x1" / "run_spec.py"
    script.parent.mkdir()
    s3 = aws.client("s3", ACCOUNT)
    s3.download_file(
        "ops-bucket", job["Command"]["ScriptLocation"].removeprefix("s3://ops-bucket/"), str(script)
    )
    arguments_of_job = {
        **job["DefaultArguments"],
        "--run_date": "2026-01-31",
        **job["NonOverridableArguments"],
    }
    session = aws.client("sts", ACCOUNT).assume_role(
        RoleArn=job["Role"], RoleSessionName="GlueJobRunnerSession"
    )["Credentials"]
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
        "AWS_ENDPOINT_URL": aws.endpoint,
    }
    del environment["AWS_REGION"]  # deploy gives --aws_region
    arguments = [part for pair in arguments_of_job.items() for part in pair]
    completed = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout
    run_id = json.loads(completed.stdout.splitlines()[-1])["run_id"]
    result = json.loads(
        s3.get_object(Bucket="ops-bucket", Key=f"results/{run_id}.json")["Body"].read()
    )
    assert (result["status"], result["steps"][0]["outputs"]["count"]) == ("succeeded", 1)


def test_nothing_that_was_set_elsewhere_is_lost_and_what_left_the_spec_goes(
    aws: sandbox.Sandbox, glue: Any, run_command: Call, spec: Path
) -> None:
    check_success(run_command("deploy", spec))
    assert "+ Tags.team: orders" in check_success(
        run_command("deploy", spec, "--tag", "team=orders")
    )
    job = glue.get_job(JobName="nightly")["Job"]
    arn = f"arn:aws:glue:{aws.region}:{ACCOUNT}:job/nightly"
    by_hand = {
        "Role": job["Role"],
        "Command": job["Command"],
        "GlueVersion": job["GlueVersion"],
        "MaxCapacity": job["MaxCapacity"],
        "Timeout": 99,
        "DefaultArguments": {**job["DefaultArguments"], "--enable-metrics": "true"},
        "Connections": {"Connections": ["vpc"]},
    }
    glue.update_job(JobName="nightly", JobUpdate=by_hand)
    glue.tag_resource(ResourceArn=arn, TagsToAdd={"cost": "42", "team": "orders"})
    spec.write_text(
        SPEC.replace("  params: {country: au}\n", "").replace(
            "  timeout: 1h", "  timeout: 1h\n  tags: {owner: ada}"
        )
    )
    message = check_success(run_command("deploy", spec))
    assert "~ Timeout: 99 -> 60" in message
    assert "- DefaultArguments.--country: au" in message
    assert "- Tags.team: orders" in message
    assert "enable-metrics" not in message
    job_after = glue.get_job(JobName="nightly")["Job"]
    assert job_after["DefaultArguments"]["--enable-metrics"] == "true"
    assert "--country" not in job_after["DefaultArguments"]
    assert job_after["Connections"] == {"Connections": ["vpc"]}
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"cost": "42", "owner": "ada"}


def test_a_job_that_somebody_else_made_is_left_alone(
    glue: Any, run_command: Call, spec: Path
) -> None:
    glue.create_job(
        Name="taken",
        Role="r",
        Command={"Name": "pythonshell", "ScriptLocation": "s3://b/other.py"},
        DefaultArguments={"--theirs": "1"},
    )
    completed = run_command("deploy", spec, "--job-name", "taken")
    assert completed.returncode == 2
    assert "the Glue job 'taken' exists and was not created by rolerunner" in completed.stderr
    assert glue.get_job(JobName="taken")["Job"]["Command"]["ScriptLocation"] == "s3://b/other.py"
    check_success(run_command("deploy", spec, "--job-name", "taken", "--adopt"))
    assert glue.get_job(JobName="taken")["Job"]["DefaultArguments"]["--theirs"] == "1"


def test_a_job_never_turns_from_python_shell_into_spark(
    glue: Any, run_command: Call, spec: Path
) -> None:
    check_success(run_command("deploy", spec, "--job-name", "spark", "--runtime", "glue-5.0"))
    check_success(run_command("deploy", spec, "--job-name", "spark", "--runtime", "glue-5.1"))
    for options in (["--plan"], []):
        refused = run_command("deploy", spec, "--job-name", "spark", *options)
        assert refused.returncode == 2
        assert (
            "the Glue job 'spark' is a Spark job and cannot become a Python Shell job: deploy "
            "under another name with --job-name, or delete it first: "
            "aws glue delete-job --job-name spark"
        ) in refused.stderr
    assert glue.get_job(JobName="spark")["Job"]["Command"]["Name"] == "glueetl"

    glue.delete_job(JobName="spark")
    check_success(run_command("deploy", spec, "--job-name", "spark"))
    assert glue.get_job(JobName="spark")["Job"]["Command"]["Name"] == "pythonshell"
    for options in (["--plan"], []):
        refused = run_command("deploy", spec, "--job-name", "spark", "--rollback", *options)
        assert refused.returncode == 2
        assert "is a Python Shell job and cannot become a Spark job" in refused.stderr
    glue.delete_job(JobName="spark")


def test_a_run_that_succeeds_and_its_logs(
    aws: sandbox.Sandbox, glue: Any, run_command: Call, spec: Path
) -> None:
    check_success(
        run_command(
            "deploy", spec, "--job-name", "spark", "--runtime", "glue-5.1", "--workers", "3"
        )
    )
    job = glue.get_job(JobName="spark")["Job"]
    assert (
        job["Command"]["Name"],
        job["GlueVersion"],
        job["WorkerType"],
        job["NumberOfWorkers"],
    ) == ("glueetl", "5.1", "G.1X", 3)
    assert job["DefaultArguments"]["--additional-python-modules"].endswith("/wheels.gluewheels.zip")
    completed = run_command(
        "start", spec, "--job-name", "spark", "-p", "run_date=2026-01-31", "--interval", "0.2"
    )
    run_id = check_success(completed).splitlines()[0]
    assert completed.stdout.splitlines()[-1].startswith("succeeded in ")
    assert "succeeded" in completed.stderr
    assert (
        glue.get_job_run(JobName="spark", RunId=run_id)["JobRun"]["Arguments"]["--run_date"]
        == "2026-01-31"
    )
    logs = aws.client("logs", ACCOUNT)
    write_log(logs, "/aws-glue/jobs/output", run_id, "from the driver")
    write_log(logs, "/aws-glue/jobs/output", f"{run_id}_g-1", "from an executor")
    write_log(logs, "/aws-glue/jobs/output", "jr_other", "of another run")
    spec.write_text(SPEC.replace("pythonshell", "glue-5.1"))
    assert check_success(run_command("logs", spec, run_id, "--job-name", "spark")).splitlines() == [
        "from the driver",
        "from an executor",
    ]
    assert check_success(
        run_command("logs", spec, "--job-name", "spark", "--follow", "--interval", "0.1")
    ).splitlines() == ["from the driver", "from an executor"]


def test_a_run_that_fails_is_exit_status_4_with_the_scripts_own_reason(
    aws: sandbox.Sandbox, run_command: Call, spec: Path
) -> None:
    check_success(run_command("deploy", spec))
    run_id = check_success(
        run_command("start", spec, "-p", "run_date=2026-01-31", "--no-wait")
    ).strip()  # it fails: the emulator gives it no arguments
    write_log(
        aws.client("logs", ACCOUNT),
        "/aws-glue/python-jobs/output",
        run_id,
        "rolerunner: nightly: step 'find' failed: no such bucket",
    )
    completed = run_command("logs", spec, "--follow", "--interval", "0.1")
    assert completed.returncode == 4
    assert completed.stderr.splitlines()[-1].endswith(
        ": nightly: step 'find' failed: no such bucket"
    )
    completed = run_command(
        "start", spec, "-p", "run_date=2026-01-31", "--interval", "0.2", "--follow"
    )
    assert completed.returncode == 4
    assert "rolerunner: FAILED after " in completed.stderr


def test_as_code_glue_is_left_alone_and_uploading_is_asked_for(
    aws: sandbox.Sandbox, glue: Any, run_command: Call, spec: Path, tmp_path: Path
) -> None:
    count_before = changes_of_glue(aws)
    completed = run_command(
        "deploy", spec, "--job-name", "spark", "--emit", "cloudformation", "--timeout", "3h"
    )
    properties = json.loads(check_success(completed))["Resources"]["Spark"]["Properties"]
    prefix = (
        properties["Command"]["ScriptLocation"].rpartition("/")[0].removeprefix("s3://ops-bucket/")
    )
    assert "add --upload to upload it" in completed.stderr
    spec.write_text(SPEC + "# another hash\n")
    check_success(
        run_command(
            "deploy",
            spec,
            "--job-name",
            "spark",
            "--emit",
            "terraform",
            "--upload",
            "-o",
            tmp_path / "glue.tf",
        )
    )
    text = (tmp_path / "glue.tf").read_text()
    uploaded = {
        key.rsplit("/", 1)[0]
        for key in keys_of(aws)
        if key.startswith("rolerunner/spark/") and key.endswith("/manifest.json")
    }
    assert prefix not in text
    assert any(
        f'script_location = "s3://ops-bucket/{folder}/run_spec.py"' in text for folder in uploaded
    )
    assert changes_of_glue(aws) == count_before
    completed = run_command(
        "deploy", spec, "--emit", "cloudformation", "-p", "run_date=2026-01-31", "-p", "country=fr"
    )
    arguments_of_job = json.loads(check_success(completed))["Resources"]["Nightly"]["Properties"][
        "DefaultArguments"
    ]
    assert (arguments_of_job["--run_date"], arguments_of_job["--country"]) == ("2026-01-31", "fr")
    wrong = run_command("deploy", spec, "--upload")
    assert (wrong.returncode, "--upload and --output require --emit" in wrong.stderr) == (2, True)


def changes_of_glue(aws: sandbox.Sandbox) -> list[str]:
    return [
        each.operation
        for each in aws.requests("glue")
        if each.operation in ("CreateJob", "UpdateJob", "TagResource")
    ]


def write_log(logs: Any, group: str, stream: str, text: str) -> None:
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[{"timestamp": int(time.time() * 1000), "message": text}],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "{spec}"], "the param 'run_date' is required"),
        (["start", "{spec}", "-p", "run_date=soon"], "the param 'run_date' must be a date"),
        (
            ["start", "{spec}", "-p", "run_date=2026-01-31", "-p", "country=--x"],
            "the param 'country' cannot begin with '--' in Glue",
        ),
        (
            ["start", "{spec}", "-p", "run_date=2026-01-31", "-p", "stage=dev"],
            "the param 'stage' is fixed by 'fixed_params'",
        ),
        (
            ["start", "{spec}", "-p", "run_date=2026-01-31", "--job-name", "nothing"],
            "deploy it first: rolerunner deploy SPEC",
        ),
        (["logs", "{spec}", "--job-name", "nothing"], "'nothing' has not run yet"),
        (
            ["deploy", "{spec}", "--workers", "3"],
            "'workers' does not apply to the 'runtime' pythonshell",
        ),
        (
            ["deploy", "{spec}", "--role", "raeder"],
            "there is no role 'raeder' (did you mean 'reader'?)",
        ),
        (["deploy", "{spec}", "-p", "run_date=soon"], "the param 'run_date' must be a date"),
        (
            ["deploy", "{spec}", "-p", "stage=dev"],
            "'stage' is in both 'params' and 'fixed_params'",
        ),
        (["deploy", "{spec}", "--tag", "x"], "--tag takes NAME=VALUE, not 'x'"),
        (["deploy", "{spec}", "--role", "reader"], "'reader' could not be assumed"),
    ],
)
def test_a_mistake_says_what_to_do(
    arguments: list[str], message: str, run_command: Call, spec: Path
) -> None:
    completed = run_command(*(each.format(spec=spec) for each in arguments))
    assert completed.returncode == 2
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr
