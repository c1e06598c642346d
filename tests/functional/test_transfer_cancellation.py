"""A cancelled transfer stops and leaves nothing behind under any name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.sandbox.faults import Fault, FaultyProxy
from tests.conftest import identity_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions:
      - {{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}
      - {{Effect: Allow, Action: "s3:*", Resource: "*"}}
  - arn: arn:aws:iam::{ACCOUNT}:role/writer
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}},
            Action: sts:AssumeRole}}]
    permissions: [{{Effect: Allow, Action: "s3:*", Resource: "*"}}]
buckets:
  - {{name: data-bucket, account: "{ACCOUNT}",
      objects: [{{key: in/large, size: 83886080}}, {{key: in/small, size: 3000000}}]}}
"""
WORK = {
    "upload": "action: s3.upload, role: job, source: {tmp}/large, target: s3://data-bucket/out/",
    "download": "action: s3.download, role: job, source: s3://data-bucket/in/, target: {tmp}/out/",
    "relay": (
        "action: s3.copy, source_role: job, target_role: "
        f"'arn:aws:iam::{ACCOUNT}:role/writer', source: s3://data-bucket/in/, "
        "target: s3://data-bucket/out/"
    ),
}
"""Each is paced, so that it would take most of a minute."""


def write(tmp_path: Path, work: str, more: str = "") -> Path:
    (tmp_path / "large").write_bytes(b"x" * (80 << 20))
    (tmp_path / "job.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        "steps:\n"
        f"  - {{id: work, {WORK[work].format(tmp=tmp_path)}, bandwidth: 2MB/s{more}}}\n"
    )
    return tmp_path / "job.yaml"


def check_no_leftovers(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    s3 = aws.client("s3", ACCOUNT)
    assert not s3.list_multipart_uploads(Bucket="data-bucket").get("Uploads")
    there = {
        each["Key"]: each["Size"]
        for each in s3.list_objects_v2(Bucket="data-bucket", Prefix="out/").get("Contents", ())
    }
    assert set(there.items()) <= {("out/small", 3_000_000)}
    for key in there:
        s3.delete_object(Bucket="data-bucket", Key=key)
    files = {path.name: path.stat().st_size for path in (tmp_path / "out").glob("*")}
    assert set(files.items()) <= {("small", 3_000_000)}


@pytest.mark.parametrize("work", list(WORK))
def test_a_timeout_stops_a_transfer(work: str, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    started_at = time.monotonic()
    result = api.run(api.load(write(tmp_path, work, ", timeout: 1.5")), identity=identity_of(aws))
    assert time.monotonic() - started_at < 6
    (step,) = result.steps
    assert step.error is not None
    assert (step.error.type, step.error.message) == ("Timeout", "not done within 1.5 s")
    check_no_leftovers(aws, tmp_path)


@pytest.mark.parametrize(
    ("work", "silent"),
    [
        ("upload", "UploadPart"),
        ("download", "GetObject"),
        ("relay", "GetObject"),
        ("relay", "UploadPart"),
    ],
)
def test_a_server_that_says_nothing_holds_no_step(
    work: str, silent: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    job = api.load(write(tmp_path, work, ", timeout: 1.5"))
    started_at = time.monotonic()
    with FaultyProxy(
        aws.endpoint, [Fault(operation=silent, delay=60)]
    ).serve_in_background() as proxy:
        result = api.run(job, identity=replace(identity_of(aws), endpoints={"": proxy.url}))
    assert time.monotonic() - started_at < 6
    (step,) = result.steps
    assert step.error is not None
    assert (step.error.type, step.error.message) == ("Timeout", "not done within 1.5 s"), (
        "and nothing of it was left behind"
    )
    check_no_leftovers(aws, tmp_path)


def run_and_signal(
    aws: sandbox.Sandbox, tmp_path: Path, delay: float, endpoint: str = ""
) -> dict[str, Any]:
    """Signals a run after a delay; returns its result, which must come within five seconds."""
    keys = aws.job_keys
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": endpoint or aws.endpoint,
        "AWS_REGION": aws.region,
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "rolerunner", "run", "job.yaml", "--result", "r.json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    while "step_started" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(delay)
    started_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert time.monotonic() - started_at < 5
    assert process.returncode == 143
    result: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
    assert (result["status"], result["steps"][0]["error"]["type"]) == ("stopped", "Stopped")
    return result


@pytest.mark.parametrize("work", list(WORK))
def test_a_signal_stops_a_transfer(work: str, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    write(tmp_path, work)
    run_and_signal(aws, tmp_path, 1.5)
    check_no_leftovers(aws, tmp_path)


LISTING = {
    "list": "action: s3.list, role: job, source: s3://data-bucket/in/",
    "upload": (
        "action: s3.upload, role: job, source: {tmp}/many/, target: s3://data-bucket/out/, "
        "if_exists: skip"
    ),
}
"""Each lists: what it is about, or what stands at its target."""
SILENT = [Fault(operation="ListObjectsV2", delay=60)]
LEFT = {"fast": "", "boto3": "; it does not stop and was abandoned"}
"""A request of boto3's cannot be stopped: it is left behind, and the step ends all the same."""


def write_listing(tmp_path: Path, engine: str, work: str) -> Path:
    (tmp_path / "many").mkdir()
    for number in range(40):
        (tmp_path / "many" / str(number)).touch()
    (tmp_path / "job.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        f"engine: {engine}\n"
        "steps:\n"
        f"  - {{id: work, {LISTING[work].format(tmp=tmp_path)}}}\n"
    )
    return tmp_path / "job.yaml"


@pytest.mark.parametrize(
    ("engine", "work"), [("fast", "list"), ("fast", "upload"), ("boto3", "list")]
)
def test_a_timeout_stops_a_listing_that_nobody_answers(
    engine: str, work: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    spec = write_listing(tmp_path, engine, work)
    spec.write_text(spec.read_text().replace("role: job", "role: job, timeout: 1"))
    started_at = time.monotonic()
    with FaultyProxy(aws.endpoint, SILENT).serve_in_background() as proxy:
        result = api.run(
            api.load(spec), identity=replace(identity_of(aws), endpoints={"": proxy.url})
        )
    assert time.monotonic() - started_at < 1 + 5
    (step,) = result.steps
    assert step.error is not None
    assert (step.error.type, step.error.message) == (
        "Timeout",
        f"not done within 1 s{LEFT[engine]}",
    )


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_a_signal_stops_a_listing_that_nobody_answers(
    engine: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    write_listing(tmp_path, engine, "list")
    with FaultyProxy(aws.endpoint, SILENT).serve_in_background() as proxy:
        result = run_and_signal(aws, tmp_path, 0.5, proxy.url)
    assert result["steps"][0]["error"]["message"] == f"stopped before it was done{LEFT[engine]}"
