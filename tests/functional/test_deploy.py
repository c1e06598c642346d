"""``deploy``, ``start`` and ``logs`` on the emulator's Glue, with the printed permissions only."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from rolerunner.cli import run_command_line

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/deployer
roles:
  - {arn: "arn:aws:iam::111122223333:role/deployer"}
  - {arn: "arn:aws:iam::111122223333:role/glue-nightly", trust: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: sts:AssumeRole}]}
  - arn: arn:aws:iam::111122223333:role/reader
    trust: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::111122223333:role/glue-nightly"}, Action: sts:AssumeRole}]
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

Call = Callable[..., "subprocess.CompletedProcess[str]"]


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
                    "*"  # the emulator looks at actions of Glue, and takes every resource of theirs for '*'
                )
        aws.client("iam", ACCOUNT).put_role_policy(
            RoleName="deployer", PolicyName=name, PolicyDocument=json.dumps(policy)
        )


@pytest.fixture
def call(
    aws: sandbox.Sandbox,
    permitted: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """The command as the deployer, in this process: there are many of them."""
    keys = aws.job_keys
    for name, value in {
        "AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key, "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": aws.region,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["rolerunner", *map(str, arguments)])
        status = 0
        try:
            run_command_line()
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess([*map(str, arguments)], status, out, err)

    return run


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return path


def good(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def keys_of(aws: sandbox.Sandbox) -> list[str]:
    return [
        each["Key"]
        for each in aws.client("s3", ACCOUNT)
        .list_objects_v2(Bucket="ops-bucket")
        .get("Contents", [])
    ]


def test_a_job_is_planned_made_changed_and_rolled_back(
    aws: sandbox.Sandbox, glue: Any, call: Call, spec: Path
) -> None:
    planned = good(call("deploy", spec, "--plan"))
    assert "Glue job nightly is made:" in planned
    assert "+ MaxCapacity: 0.0625" in planned
    assert keys_of(aws) == []
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_job(JobName="nightly")

    made = good(call("deploy", spec))
    job = glue.get_job(JobName="nightly")["Job"]
    first = made.rsplit("deployed ", 1)[1].split()[0]
    place = f"s3://ops-bucket/rolerunner/nightly/{first}/"
    assert job["Command"] == {
        "Name": "pythonshell",
        "PythonVersion": "3.9",
        "ScriptLocation": f"{place}run_spec.py",
    }
    assert (job["GlueVersion"], job["MaxCapacity"], job["MaxRetries"], job["Timeout"]) == (
        "3.0",
        0.0625,
        0,
        60,
    )
    assert job["NonOverridableArguments"] == {
        "--job_spec": f"{place}spec/nightly.yaml",
        "--stage": "prod",
    }
    arguments = job["DefaultArguments"]
    wheels = arguments.pop("--extra-py-files").split(",")
    assert arguments == {
        "--country": "au", "--deadline": "3420s", "--aws_region": aws.region, "--library-set": "analytics", "--result": "s3://ops-bucket/results/"
    }  # fmt: skip
    assert wheels[-1].startswith(f"{place}wheels/rolerunner-")
    stored = {f"s3://ops-bucket/{key}" for key in keys_of(aws)}
    assert {
        *wheels,
        f"{place}run_spec.py",
        f"{place}spec/nightly.yaml",
        f"{place}manifest.json",
    } <= stored

    before = len(aws.requests("s3"))
    assert good(call("deploy", spec)) == "Glue job nightly: no change\n"
    assert [
        each.operation
        for each in aws.requests("s3")[before:]
        if each.operation in ("PutObject", "CreateMultipartUpload")
    ] == []

    assert "~ Timeout: 60 -> 120" in good(call("deploy", spec, "--timeout", "2h"))
    assert glue.get_job(JobName="nightly")["Job"]["DefaultArguments"]["--deadline"] == "6840s"
    assert "~ Timeout: 120 -> 60" in good(call("deploy", spec, "--rollback", "--plan"))
    assert glue.get_job(JobName="nightly")["Job"]["Timeout"] == 120
    assert f"rolled back to {first}, deployed 20" in good(call("deploy", spec, "--rollback"))
    assert glue.get_job(JobName="nightly")["Job"]["Timeout"] == 60
    nowhere = call("deploy", spec, "--rollback", "abcdef")
    assert nowhere.returncode == 2
    assert (
        f"there is no deployment abcdef to roll back to under s3://ops-bucket/rolerunner/nightly/ (found: {first})"
        in nowhere.stderr
    )


@pytest.mark.parametrize(("name", "runtime"), [("nightly", "pythonshell"), ("spark", "glue-5.1")])
def test_what_was_deployed_runs_with_the_permissions_that_are_printed(
    name: str, runtime: str, aws: sandbox.Sandbox, glue: Any, call: Call, spec: Path, tmp_path: Path
) -> None:
    good(call("deploy", spec, "--job-name", name, "--runtime", runtime))
    printed = json.loads(good(call("deploy", spec, "--permissions", "--job-name", name)))
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
    given = {
        **job["DefaultArguments"],
        "--run_date": "2026-01-31",
        **job["NonOverridableArguments"],
    }
    session = aws.client("sts", ACCOUNT).assume_role(
        RoleArn=job["Role"], RoleSessionName="GlueJobRunnerSession"
    )["Credentials"]
    environment = {
        **os.environ, "AWS_ACCESS_KEY_ID": session["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"], "AWS_ENDPOINT_URL": aws.endpoint,
    }  # fmt: skip
    del environment["AWS_REGION"]  # deploy gives --aws_region
    arguments = [part for pair in given.items() for part in pair]
    ended = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    run_id = json.loads(ended.stdout.splitlines()[-1])["run_id"]
    result = json.loads(
        s3.get_object(Bucket="ops-bucket", Key=f"results/{run_id}.json")["Body"].read()
    )
    assert (result["status"], result["steps"][0]["outputs"]["count"]) == ("succeeded", 1)


def test_nothing_that_was_set_elsewhere_is_lost_and_what_left_the_spec_goes(
    aws: sandbox.Sandbox, glue: Any, call: Call, spec: Path
) -> None:
    good(call("deploy", spec))
    assert "+ Tags.team: orders" in good(call("deploy", spec, "--tag", "team=orders"))
    job = glue.get_job(JobName="nightly")["Job"]
    arn = f"arn:aws:glue:{aws.region}:{ACCOUNT}:job/nightly"
    by_hand = {
        "Role": job["Role"], "Command": job["Command"], "GlueVersion": job["GlueVersion"], "MaxCapacity": job["MaxCapacity"],
        "Timeout": 99, "DefaultArguments": {**job["DefaultArguments"], "--enable-metrics": "true"}, "Connections": {"Connections": ["vpc"]},
    }  # fmt: skip
    glue.update_job(JobName="nightly", JobUpdate=by_hand)
    glue.tag_resource(ResourceArn=arn, TagsToAdd={"cost": "42", "team": "orders"})
    spec.write_text(
        SPEC.replace("  params: {country: au}\n", "").replace(
            "  timeout: 1h", "  timeout: 1h\n  tags: {owner: ada}"
        )
    )
    said = good(call("deploy", spec))
    assert "~ Timeout: 99 -> 60" in said
    assert "- DefaultArguments.--country: au" in said
    assert "- Tags.team: orders" in said
    assert "enable-metrics" not in said
    after = glue.get_job(JobName="nightly")["Job"]
    assert after["DefaultArguments"]["--enable-metrics"] == "true"
    assert "--country" not in after["DefaultArguments"]
    assert after["Connections"] == {"Connections": ["vpc"]}
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"cost": "42", "owner": "ada"}


def test_a_job_that_somebody_else_made_is_left_alone(glue: Any, call: Call, spec: Path) -> None:
    glue.create_job(
        Name="taken",
        Role="r",
        Command={"Name": "glueetl", "ScriptLocation": "s3://b/other.py"},
        DefaultArguments={"--theirs": "1"},
    )
    ended = call("deploy", spec, "--job-name", "taken")
    assert ended.returncode == 2
    assert "the Glue job 'taken' exists and was not created by rolerunner" in ended.stderr
    assert glue.get_job(JobName="taken")["Job"]["Command"]["ScriptLocation"] == "s3://b/other.py"
    good(call("deploy", spec, "--job-name", "taken", "--adopt"))
    assert glue.get_job(JobName="taken")["Job"]["DefaultArguments"]["--theirs"] == "1"


def test_a_run_that_succeeds_and_its_logs(
    aws: sandbox.Sandbox, glue: Any, call: Call, spec: Path
) -> None:
    good(call("deploy", spec, "--job-name", "spark", "--runtime", "glue-5.1", "--workers", "3"))
    job = glue.get_job(JobName="spark")["Job"]
    assert (
        job["Command"]["Name"],
        job["GlueVersion"],
        job["WorkerType"],
        job["NumberOfWorkers"],
    ) == ("glueetl", "5.1", "G.1X", 3)
    assert job["DefaultArguments"]["--additional-python-modules"].endswith("/wheels.gluewheels.zip")
    ended = call(
        "start", spec, "--job-name", "spark", "-p", "run_date=2026-01-31", "--interval", "0.2"
    )
    run_id = good(ended).splitlines()[0]
    assert ended.stdout.splitlines()[-1].startswith("succeeded in ")
    assert "succeeded" in ended.stderr
    assert (
        glue.get_job_run(JobName="spark", RunId=run_id)["JobRun"]["Arguments"]["--run_date"]
        == "2026-01-31"
    )
    logs = aws.client("logs", ACCOUNT)
    logged(logs, "/aws-glue/jobs/output", run_id, "from the driver")
    logged(logs, "/aws-glue/jobs/output", f"{run_id}_g-1", "from an executor")
    logged(logs, "/aws-glue/jobs/output", "jr_other", "of another run")
    spec.write_text(SPEC.replace("pythonshell", "glue-5.1"))
    assert good(call("logs", spec, run_id, "--job-name", "spark")).splitlines() == [
        "from the driver",
        "from an executor",
    ]
    assert good(
        call("logs", spec, "--job-name", "spark", "--follow", "--interval", "0.1")
    ).splitlines() == ["from the driver", "from an executor"]


def test_a_run_that_fails_is_exit_status_4_with_the_scripts_own_reason(
    aws: sandbox.Sandbox, call: Call, spec: Path
) -> None:
    good(call("deploy", spec))
    run_id = good(
        call("start", spec, "-p", "run_date=2026-01-31", "--no-wait")
    ).strip()  # it fails: the emulator gives it no arguments
    logged(
        aws.client("logs", ACCOUNT),
        "/aws-glue/python-jobs/output",
        run_id,
        "rolerunner: nightly: step 'find' failed: no such bucket",
    )
    ended = call("logs", spec, "--follow", "--interval", "0.1")
    assert ended.returncode == 4
    assert ended.stderr.splitlines()[-1].endswith(": nightly: step 'find' failed: no such bucket")
    ended = call("start", spec, "-p", "run_date=2026-01-31", "--interval", "0.2", "--follow")
    assert ended.returncode == 4
    assert "rolerunner: FAILED after " in ended.stderr


def test_as_code_glue_is_left_alone_and_uploading_is_asked_for(
    aws: sandbox.Sandbox, glue: Any, call: Call, spec: Path, tmp_path: Path
) -> None:
    before = changes_of_glue(aws)
    ended = call(
        "deploy", spec, "--job-name", "spark", "--emit", "cloudformation", "--timeout", "3h"
    )
    properties = json.loads(good(ended))["Resources"]["Spark"]["Properties"]
    place = (
        properties["Command"]["ScriptLocation"].rpartition("/")[0].removeprefix("s3://ops-bucket/")
    )
    assert "add --upload to upload it" in ended.stderr
    spec.write_text(SPEC + "# another hash\n")
    good(
        call(
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
    assert place not in text
    assert any(
        f'script_location = "s3://ops-bucket/{folder}/run_spec.py"' in text for folder in uploaded
    )
    assert changes_of_glue(aws) == before
    ended = call(
        "deploy", spec, "--emit", "cloudformation", "-p", "run_date=2026-01-31", "-p", "country=fr"
    )
    given = json.loads(good(ended))["Resources"]["Nightly"]["Properties"]["DefaultArguments"]
    assert (given["--run_date"], given["--country"]) == ("2026-01-31", "fr")
    wrong = call("deploy", spec, "--upload")
    assert (wrong.returncode, "--upload and --output go with --emit" in wrong.stderr) == (2, True)


def changes_of_glue(aws: sandbox.Sandbox) -> list[str]:
    return [
        each.operation
        for each in aws.requests("glue")
        if each.operation in ("CreateJob", "UpdateJob", "TagResource")
    ]


def logged(logs: Any, group: str, stream: str, text: str) -> None:
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
    ("arguments", "said"),
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
            "'workers' does not apply to the runtime pythonshell",
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
def test_a_mistake_says_what_to_do(arguments: list[str], said: str, call: Call, spec: Path) -> None:
    ended = call(*(each.format(spec=spec) for each in arguments))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
