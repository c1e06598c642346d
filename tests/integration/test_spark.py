"""Distributed steps and queries on a local Spark, against the embedded AWS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.sandbox.running import publish_sandbox
from tests.spark_venv import PACKAGE, python_with_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner import sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # the first time pyspark is fetched, which has 300 MB

JOB, THEIRS, ARCHIVE = "111122223333", "222233334444", "444455556666"
READER, WRITER = f"arn:aws:iam::{THEIRS}:role/reader", f"arn:aws:iam::{ARCHIVE}:role/writer"
TRUST = (
    f'[{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{JOB}:role/job"}}, '
    "Action: sts:AssumeRole}]"
)
READS = '["s3:GetObject", "s3:ListBucket", "s3:DeleteObject"]'
WRITES = (
    '["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "s3:ListBucket", '
    '"s3:AbortMultipartUpload"]'
)
WORLD = f"""
version: 1
job_role: arn:aws:iam::{JOB}:role/job
roles:
  - arn: arn:aws:iam::{JOB}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
  - arn: {READER}
    trust: {TRUST}
    permissions: [{{Effect: Allow, Action: {READS},
                  Resource: ["arn:aws:s3:::landing", "arn:aws:s3:::landing/*"]}}]
  - arn: {WRITER}
    trust: {TRUST}
    permissions: [{{Effect: Allow, Action: {WRITES},
                  Resource: ["arn:aws:s3:::archive", "arn:aws:s3:::archive/*"]}}]
buckets:
  - {{name: landing, account: "{THEIRS}"}}
  - {{name: archive, account: "{ARCHIVE}"}}
"""
HEAD = f"""version: 1
name: spread
roles: {{reader: {READER}, writer: {WRITER}}}
max_parallel: 1
steps:
"""
QUERIES = """
  - id: sum
    action: spark.sql
    role: job
    sources: {orders: {location: orders/, format: csv,
               options: {header: "true", inferSchema: "true"}}}
    query: SELECT country, sum(amount) AS amount FROM orders GROUP BY country ORDER BY country
  - id: write
    action: spark.sql
    role: job
    sources: {orders: {location: orders/, format: csv, options: {header: "true"}}}
    target: {location: out/, mode: overwrite, partition_by: [country]}
  - {id: wrong, action: spark.sql, role: job, on_error: continue,
      sources: {orders: {location: orders/, format: csv}}, query: SELECT no FROM orders}
  - {id: s3, action: spark.sql, role: reader, on_error: continue,
      sources: {orders: {location: "s3://landing/in/", format: csv}}}
"""
SANDBOXED = f"""{HEAD}
  - {{id: find, action: s3.list, role: reader, source: s3://landing/sandboxed/, distribute: spark}}
  - {{id: copy, action: s3.copy, source_role: reader, target_role: writer, distribute: spark,
      objects: "${{{{ steps.find.objects }}}}", target: s3://archive/sandboxed/,
      tags: {{team: orders}}}}
  - {{id: look, action: python.call, role: reader, function: "own.py:look",
      objects: ["s3://landing/sandboxed/1"], distribute: spark}}
{QUERIES}
  - {{id: long, action: python.call, role: reader, function: "own.py:long",
      objects: [s3://landing/a, s3://landing/b], batch: 1, distribute: spark}}
"""
OWN = """
def look(context, objects):
    import os, pathlib
    context.client("s3").head_object(Bucket="landing", Key=objects[0]["key"])
    folder = pathlib.Path(os.environ["TMPDIR"])
    modes = [path.stat().st_mode & 0o777 for path in folder.rglob(".job-keys.json")]
    exposed = sum(name.startswith("AWS_") for name in os.environ)
    return {"private": modes.count(0o600), "exposed": exposed}

def long(context, objects):
    import os, time
    open(f"{os.environ['TMPDIR']}/pid-{os.getpid()}", "w").close()
    time.sleep(60)
"""


@pytest.fixture(scope="session")
def python() -> Path:
    found = python_with_spark()
    if found is None:
        pytest.skip("there is no Python 3.11 or no Java here")
    return found


@pytest.fixture
def start(
    aws: sandbox.Sandbox, python: Path, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the command with Spark, with its event log in tmp_path/events."""
    keys = aws.job_keys
    (tmp_path / "events").mkdir()
    # pyspark keeps the logs of executors in its own folder: a copy of it with links in its place
    # keeps them apart
    home = tmp_path / "spark"
    home.mkdir()
    for path in PACKAGE.iterdir():
        if path.name != "work":
            (home / path.name).symlink_to(path)
    settings = [
        "spark.eventLog.enabled=true",
        f"spark.eventLog.dir={tmp_path / 'events'}",
        "spark.ui.enabled=false",
    ]
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": aws.region,
    }
    started = []

    def run(spec: str, master: str, *options: str) -> subprocess.Popen[bytes]:
        (tmp_path / "job.yaml").write_text(spec)
        (tmp_path / "own.py").write_text(OWN)
        arguments = (
            f"--master {master} {' '.join(f'--conf {each}' for each in settings)} pyspark-shell"
        )
        command = [
            str(python),
            "-m",
            "rolerunner",
            "run",
            "job.yaml",
            "--result",
            "r.json",
            "--log-format",
            "json",
            *options,
        ]
        own = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
        with (tmp_path / "log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    env={
                        **(own if "--sandbox" in options else environment),
                        "PYSPARK_SUBMIT_ARGS": arguments,
                    },
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the condition holds; it must before the process ends."""
    while not condition():
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)


def steps(folder: Path) -> dict[str, Any]:
    return {step["id"]: step for step in json.loads((folder / "r.json").read_text())["steps"]}


def list_written_files(folder: Path) -> Iterator[Path]:
    """Lists a run's log, manifests and result, Spark's event log, and the logs of executors."""
    yield from (
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "spark"
    )
    yield from (folder / "spark/work").rglob("std*")


def test_a_run_in_the_sandbox_with_queries_and_a_stop(
    aws: sandbox.Sandbox,
    start: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Executors assume the roles as the job of the sandbox, and a stop leaves none of their work.

    One command does all, since each one starts a JVM.
    """
    s3 = aws.client("s3", THEIRS)
    for number in range(20):
        s3.put_object(Bucket="landing", Key=f"sandboxed/{number}", Body=b"1")
    before = aws.assume_role_count().get(READER, 0)
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders/a.csv").write_text("country,amount\nat,1\nde,2\nat,3\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where the command finds the sandbox
    (tmp_path / "job.yaml").write_text(SANDBOXED)
    with publish_sandbox(aws, str(tmp_path / "job.yaml"), None, {}):
        process = start(SANDBOXED, "local[2]", "--sandbox")
        wait_until(lambda: list(tmp_path.glob("pid-*")), process, tmp_path / "log")
        check_stop(process, tmp_path)
    completed = steps(tmp_path)
    check_executors_in_sandbox(completed, tmp_path, aws)
    # this process and at least one executor
    assert aws.assume_role_count()[READER] - before >= 2
    check_queries(completed, tmp_path)
    assert completed["long"]["error"]["type"] == "Stopped"


def check_stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Stops the run, whose Python workers end with it."""
    workers = [Path(f"/proc/{path.name[4:]}") for path in folder.glob("pid-*")]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143, (folder / "log").read_text()[-3000:]
    waited_for = time.monotonic() + 10
    while any(worker.exists() for worker in workers) and time.monotonic() < waited_for:
        time.sleep(0.2)
    assert [worker for worker in workers if worker.exists()] == []


def check_executors_in_sandbox(completed: Any, folder: Path, aws: sandbox.Sandbox) -> None:
    assert "is ignored" not in (folder / "log").read_text()
    assert completed["copy"]["outputs"]["count"] == 20
    # a function sees its executor: the keys are in a file of this user alone, not around it
    assert completed["look"]["outputs"] == {"private": 1, "exposed": 0}
    assert list(folder.rglob(".job-keys.json")) == []
    text = "".join(path.read_text(errors="replace") for path in list_written_files(folder))
    assert "SparkListenerTaskEnd" in text
    assert aws.job_keys.secret_key not in text


def check_queries(completed: Any, folder: Path) -> None:
    assert completed["sum"]["outputs"] == {
        "count": 2,
        "columns": ["country", "amount"],
        "rows": [{"country": "at", "amount": 4}, {"country": "de", "amount": 2}],
    }
    assert completed["write"]["outputs"]["count"] == 3
    assert [path.name for path in sorted((folder / "out").glob("country=*"))] == [
        "country=at",
        "country=de",
    ]
    assert completed["wrong"]["error"]["type"] == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
    # there is no hadoop-aws here: test_spark_roles.py has it
    error = completed["s3"]["error"]
    assert (error["type"], "hadoop-aws:3.3.4" in error["hint"]) == ("NoS3A", True)
