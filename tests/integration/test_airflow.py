"""The DAG of docs/integrations.md in a real Airflow, against the sandbox."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.cli.sandboxed import DEFAULT_FILE, describe_deployable
from rolerunner.glue.deploy.settings import resolve_settings
from rolerunner.glue.rehearsal.sandboxed_run import COMMAND
from rolerunner.sandbox.running import publish_sandbox
from tests.airflow_venv import PYTHON, python_with_airflow
from tests.functional.test_integrations import find_example
from tests.in_process import Call, create_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.release,
    pytest.mark.timeout(900),  # the first time the packages are fetched, about 100 MB
]

NIGHTLY = """
version: 1
name: nightly
params: {run_date: {type: date, required: true}}
roles: {reader: "arn:aws:iam::222233334444:role/landing-reader"}
glue:
  role: arn:aws:iam::111122223333:role/glue-nightly
  artifacts: s3://ops-111122223333/rolerunner/
steps:
  - {id: find, action: s3.list, role: reader, source: "s3://landing/${{ params.run_date }}/"}
"""
REPORT = """
version: 1
name: report
params: {run_date: {type: date, required: true}}
roles: {reporter: "arn:aws:iam::222233334444:role/reporter"}
steps:
  - id: write
    action: s3.write
    role: reporter
    target: s3://reports/${{ params.run_date }}.txt
    text: done
"""
AIRFLOW, GLUE, READER, REPORTER = (
    f"arn:aws:iam::{each}"
    for each in (
        "111122223333:role/airflow",
        "111122223333:role/glue-nightly",
        "222233334444:role/landing-reader",
        "222233334444:role/reporter",
    )
)
WORLD = f"""
version: 1
region: eu-west-1
job_role: {AIRFLOW}
roles:
  - arn: {AIRFLOW}
    description: The identity of Airflow's workers.
    permissions:
      - Effect: Allow
        Action: ["glue:GetJob", "glue:StartJobRun", "glue:GetJobRun"]
        Resource: "*"
      - {{Effect: Allow, Action: sts:AssumeRole, Resource: "{REPORTER}"}}
  - arn: {GLUE}
    trust:
      - {{Effect: Allow, Principal: {{Service: glue.amazonaws.com}}, Action: sts:AssumeRole}}
    permissions:
      - {{Effect: Allow, Action: sts:AssumeRole, Resource: "{READER}"}}
  - arn: {READER}
    trust:
      - {{Effect: Allow, Principal: {{AWS: "{GLUE}"}}, Action: sts:AssumeRole}}
    permissions:
      - {{Effect: Allow, Action: s3:ListBucket, Resource: "arn:aws:s3:::landing"}}
  - arn: {REPORTER}
    trust:
      - {{Effect: Allow, Principal: {{AWS: "{AIRFLOW}"}}, Action: sts:AssumeRole}}
    permissions:
      - {{Effect: Allow, Action: s3:PutObject, Resource: "arn:aws:s3:::reports/2026-01-31.txt"}}
buckets:
  - name: landing
    account: "222233334444"
    objects: [{{key: 2026-01-31/a.csv, text: a}}, {{key: 2026-02-01/a.csv, text: a}}]
  - {{name: reports, account: "222233334444"}}
"""
PROGRAM = """
import json, sys
from datetime import datetime, timezone
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
found = {"errors": bag.import_errors, "runs": []}
if not bag.import_errors:
    for text in sys.argv[3:]:
        run = bag.dags["nightly"].test(
            logical_date=datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
        )
        states = {each.task_id: str(each.state) for each in run.get_task_instances()}
        found["runs"].append({"state": str(run.state), "tasks": states})
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""


@pytest.fixture
def airflow_python() -> Path:
    found = python_with_airflow()
    if found is None:
        pytest.skip(f"there is no Python {PYTHON} here")
    return found


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return create_command(monkeypatch, capsys)


@pytest.fixture
def served(tmp_path: Path, run_command: Call) -> Iterator[sandbox.Sandbox]:
    """A sandbox in which the job is deployed."""
    spec = tmp_path / "nightly.yaml"
    spec.write_text(NIGHTLY)
    (tmp_path / "report.yaml").write_text(REPORT)
    (tmp_path / "nightly.sandbox.yaml").write_text(WORLD)
    job = api.load(spec, {"run_date": "2026-01-31"})
    world, _ = describe_deployable(job, resolve_settings(job, {}), DEFAULT_FILE)
    contents = tmp_path / "nightly.sandbox.yaml"
    with (
        sandbox.start_sandbox(world, tmp_path, job_runner=COMMAND) as running,
        publish_sandbox(running, str(spec), contents, job.roles),
    ):
        deployed = run_command("deploy", spec, "--sandbox")
        assert deployed.returncode == 0, deployed.stderr
        yield running


def run_dag(
    python: Path, folder: Path, running: sandbox.Sandbox, *dates: str
) -> tuple[dict[str, Any], str]:
    """Runs the documented DAG for each date; returns what it found and what Airflow printed."""
    dags, result = folder / "dags", folder / "result.json"
    dags.mkdir()
    program = find_example("nightly_dag.py")
    assert "/opt/airflow/specs/report.yaml" in program
    text = program.replace("/opt/airflow/specs/report.yaml", str(folder / "report.yaml"))
    (dags / "nightly_dag.py").write_text(text)
    keys = running.job_keys
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_REGION": running.region,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "NO_COLOR": "1",
    }
    printed = ""
    arguments = [str(dags), str(result), *dates]
    for command in (["-m", "airflow", "db", "migrate"], ["-c", PROGRAM, *arguments]):
        done = subprocess.run(
            [str(python), *command],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        printed = done.stdout
    return json.loads(result.read_text()), printed


def test_airflow_starts_the_deployed_job_and_runs_a_spec(
    airflow_python: Path, served: sandbox.Sandbox, tmp_path: Path
) -> None:
    found, printed = run_dag(airflow_python, tmp_path, served, "2026-01-31", "2026-02-01")
    assert found["errors"] == {}
    good, bad = found["runs"]
    assert good == {
        "state": "success",
        "tasks": {"in_glue": "success", "on_the_worker": "success"},
    }, printed[-5000:]
    report = served.client("s3", "222233334444").get_object(Bucket="reports", Key="2026-01-31.txt")
    assert report["Body"].read() == b"done"
    runs = served.client("glue", "111122223333").get_job_runs(JobName="nightly")["JobRuns"]
    dates = {each["Arguments"]["--run_date"]: each["JobRunState"] for each in runs}
    assert dates == {"2026-01-31": "SUCCEEDED", "2026-02-01": "SUCCEEDED"}
    # the reporter may not write the second day's report
    assert bad == {"state": "failed", "tasks": {"in_glue": "success", "on_the_worker": "failed"}}
    assert 'failed: {"write": ' in printed
    assert "s3:PutObject" in printed
