"""With a ``glue`` section, ``iam`` prints all that the job's role needs for a run in Glue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

JOB = "arn:aws:iam::111122223333:role/glue-nightly"
SPEC = f"""\
version: 1
name: nightly
roles:
  hub: arn:aws:iam::222233334444:role/hub
  reader: {{arn: "arn:aws:iam::222233334444:role/reader", via: hub}}
  lister: arn:aws:iam::333344445555:role/lister
state: {{location: "s3://ops-bucket/state/", role: job}}
glue:
  runtime: glue-5.1
  role: {JOB}
  artifacts: s3://ops-bucket/rolerunner/
  result: s3://ops-bucket/results/
  connections: [vpc]
  arguments: {{--TempDir: "s3://tmp-bucket/x", --enable-metrics: "true",
               --extra-jars: "s3://jars/a.jar,s3://jars/b.jar", --continuous-log-logGroup: /mine}}
steps:
  - {{id: find, action: s3.list, role: reader, source: "s3://landing/in/"}}
  - {{id: look, action: s3.list, role: lister, source: "s3://landing/in/"}}
  - {{id: say, action: s3.write, role: job, target: "s3://ops-bucket/said", text: done}}
"""


def policies(rolerunner: Command, tmp_path: Path, *more: str) -> dict[str, Any]:
    (tmp_path / "nightly.yaml").write_text(SPEC)
    completed = rolerunner("iam", "nightly.yaml", *more)
    assert (completed.returncode, completed.stderr) == (0, "")
    return {role["role"]: role for role in json.loads(completed.stdout)["roles"]}


def allowed(policy: dict[str, Any]) -> set[tuple[str, str]]:
    def as_list(value: Any) -> list[str]:
        return [value] if isinstance(value, str) else value

    return {
        (action, resource)
        for each in policy["Statement"]
        for action in as_list(each["Action"])
        for resource in as_list(each["Resource"])
    }


def test_the_jobs_own_role_has_all_that_a_run_in_glue_needs(
    rolerunner: Command, tmp_path: Path
) -> None:
    found = policies(rolerunner, tmp_path)
    job = found["job"]
    assert job["arn"] == JOB
    assert job["trust"]["Statement"][0]["Principal"] == {"Service": "glue.amazonaws.com"}
    assert found["hub"]["trust"]["Statement"][0]["Principal"] == {"AWS": JOB}
    assert found["reader"]["trust"]["Statement"][0]["Principal"] == {"AWS": found["hub"]["arn"]}
    expected = {
        ("sts:AssumeRole", found["hub"]["arn"]),
        ("sts:AssumeRole", found["lister"]["arn"]),
        ("s3:GetObject", "arn:aws:s3:::ops-bucket/rolerunner/nightly/*"),
        ("s3:PutObject", "arn:aws:s3:::ops-bucket/results/*"),
        ("s3:PutObject", "arn:aws:s3:::ops-bucket/state/nightly/*"),
        ("s3:GetObject", "arn:aws:s3:::ops-bucket/state/nightly/*"),
        ("s3:PutObject", "arn:aws:s3:::ops-bucket/said"),
        ("s3:GetObject", "arn:aws:s3:::jars/a.jar"),
        ("s3:GetObject", "arn:aws:s3:::jars/b.jar"),
        ("s3:GetObject", "arn:aws:s3:::tmp-bucket/x/*"),
        ("s3:PutObject", "arn:aws:s3:::tmp-bucket/x/*"),
        ("s3:DeleteObject", "arn:aws:s3:::tmp-bucket/x/*"),
        ("s3:ListBucket", "arn:aws:s3:::tmp-bucket"),
        ("logs:PutLogEvents", "arn:aws:logs:*:111122223333:log-group:/aws-glue/*"),
        ("logs:PutLogEvents", "arn:aws:logs:*:111122223333:log-group:/mine*"),
        ("cloudwatch:PutMetricData", "*"),
        ("glue:GetConnection", "*"),
    }
    assert expected - allowed(job["permissions"]) == set()
    assert ("sts:AssumeRole", found["reader"]["arn"]) not in allowed(
        job["permissions"]
    )  # the hub assumes it


def test_deploy_and_iam_agree(rolerunner: Command, tmp_path: Path) -> None:
    job = policies(rolerunner, tmp_path)["job"]
    assert (
        json.loads(rolerunner("deploy", "nightly.yaml", "--permissions").stdout)["job"]
        == job["permissions"]
    )


def test_the_command_line_adds_to_the_section(rolerunner: Command, tmp_path: Path) -> None:
    other = "arn:aws:iam::111122223333:role/other"
    found = policies(
        rolerunner,
        tmp_path,
        "--job-role",
        other,
        "--reads",
        "s3://more/a",
        "--writes",
        "s3://more/b",
    )
    assert found["job"]["arn"] == other
    expected = {
        ("s3:GetObject", "arn:aws:s3:::more/a"),
        ("s3:PutObject", "arn:aws:s3:::more/b"),
        ("s3:PutObject", "arn:aws:s3:::ops-bucket/results/*"),
    }
    assert expected <= allowed(found["job"]["permissions"])


@pytest.mark.parametrize("runtime", ["pythonshell", "glueetl"])
def test_a_run_of_the_entry_script_is_refused_nothing_under_these_policies(
    runtime: str, rolerunner: Command, tmp_path: Path
) -> None:
    found = policies(rolerunner, tmp_path)
    roles = [
        {
            "arn": each["arn"],
            "permissions": each["permissions"]["Statement"],
            "trust": each["trust"]["Statement"],
        }
        for each in found.values()
    ]
    roles[0].pop("trust")  # the sandbox has no service that would start it
    buckets = [
        {"name": "ops-bucket", "account": "111122223333"},
        {"name": "landing", "account": "222233334444", "objects": [{"key": "in/a", "text": "x"}]},
    ]
    (tmp_path / "world.yaml").write_text(
        json.dumps({"version": 1, "job_role": JOB, "roles": roles, "buckets": buckets})
    )
    with sandbox.start_sandbox(sandbox.load_world(tmp_path / "world.yaml")) as made:
        place = "rolerunner/nightly/abc/spec.yaml"
        spec = "\n".join(
            line for line in SPEC.splitlines() if "id: look" not in line
        )  # the bucket is another account's
        made.client("s3", "111122223333").put_object(
            Bucket="ops-bucket", Key=place, Body=spec.encode()
        )
        keys = made.job_keys
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_ENDPOINT_URL": made.endpoint,
            "AWS_REGION": "eu-west-1",
            "TMPDIR": str(tmp_path),
        }
        arguments = [
            "--job_spec",
            f"s3://ops-bucket/{place}",
            "--result",
            "s3://ops-bucket/results/",
            "--run_key",
            "k",
            "--runtime",
            runtime,
        ]
        completed = subprocess.run(
            [sys.executable, ROOT / "jobs/run_spec.py", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            cwd=tmp_path,
            timeout=100,
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        kept = made.client("s3", "111122223333").list_objects_v2(Bucket="ops-bucket")["Contents"]
        assert {each["Key"].split("/")[0] for each in kept} == {
            "rolerunner",
            "results",
            "state",
            "said",
        }
