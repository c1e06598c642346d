"""A copy of a large object that is killed half way continues with the parts that are stored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox, wiring
from rolerunner.events import Note
from rolerunner.sessions.identity import JobIdentity
from rolerunner.storage import upload_journal
from rolerunner.storage.workers.distributed import Distribution
from rolerunner.storage.workers.worker_setup import WorkerSetup
from tests.conftest import identity_of
from tests.in_process import use_job_identity
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERE, THERE = "111122223333", "444455556666"
READER = f"arn:aws:iam::{THERE}:role/reader"
TRUST = (
    f'[{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{HERE}:role/job"}}, '
    "Action: sts:AssumeRole}]"
)
PARTS = ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"]
WORLD = f"""
version: 1
job_role: arn:aws:iam::{HERE}:role/job
roles:
  - arn: arn:aws:iam::{HERE}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
  - arn: {READER}
    trust: {TRUST}
    permissions: [{{Effect: Allow, Action: ["s3:GetObject*", "s3:ListBucket"],
                  Resource: ["arn:aws:s3:::theirs", "arn:aws:s3:::theirs/*"]}}]
  - arn: arn:aws:iam::{HERE}:role/writer
    trust: {TRUST}
    permissions: [{{Effect: Allow, Resource: ["arn:aws:s3:::kept/*", "arn:aws:s3:::kept"],
                  Action: {json.dumps([*PARTS, "s3:GetObject", "s3:ListMultipartUploadParts"])}}}]
  - arn: arn:aws:iam::{HERE}:role/blind
    trust: {TRUST}
    permissions: [{{Effect: Allow, Resource: "arn:aws:s3:::kept/*", Action: {json.dumps(PARTS)}}}]
buckets:
  - {{name: theirs, account: "{THERE}"}}
  - {{name: kept, account: "{HERE}", versioning: true}}
"""
SPEC = """
version: 1
name: t
engine: {engine}
memory: 120MiB  # parts of 5 MiB
state: {{location: state/}}
steps:
  - {{id: copy, action: s3.copy, source_role: "{reader}",
     target_role: "arn:aws:iam::111122223333:role/{writer}",
     source: "s3://theirs/large", target: "s3://kept/{target}", bandwidth: {bandwidth}}}
"""
COUNT = 8
DATA = b"".join(bytes([number]) * (5 << 20) for number in range(COUNT))
COMMAND = """
from rolerunner.cli import run_command_line
from rolerunner.storage import upload_journal
upload_journal.RESUMABLE_BYTES = upload_journal.WRITE_SECONDS = 0
run_command_line()
"""


class Notes:
    """An observer that keeps the messages about uploads."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def notify(self, event: Any) -> None:
        if isinstance(event, Note) and "upload" in event.message:
            self.values[event.message] = event.values


@pytest.fixture(scope="module")
def clients(aws: sandbox.Sandbox) -> dict[str, Any]:
    clients = {"theirs": aws.client("s3", THERE), "kept": aws.client("s3", HERE)}
    clients["theirs"].put_object(Bucket="theirs", Key="large", Body=DATA, ChecksumAlgorithm="CRC32")
    return clients


@pytest.fixture
def killed(
    aws: sandbox.Sandbox,
    clients: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Runs a copy that is killed once the state has three parts; returns the spec, to resume."""
    monkeypatch.setattr(upload_journal, "RESUMABLE_BYTES", 0)

    def run(target: str, engine: str = "fast", writer: str = "writer") -> Path:
        spec = tmp_path / "job.yaml"
        fields = {"reader": READER, "writer": writer, "target": target, "engine": engine}
        spec.write_text(SPEC.format(**fields, bandwidth="12MB/s"))
        keys = aws.job_keys
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_REGION": aws.region,
        }
        command = [sys.executable, "-c", COMMAND, "run", str(spec), "--run-key", "k"]
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
            while count_recorded(tmp_path) < 3:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        assert len(clients["kept"].list_multipart_uploads(Bucket="kept")["Uploads"]) == 1
        spec.write_text(SPEC.format(**fields, bandwidth="1GB/s"))
        monkeypatch.chdir(tmp_path)
        return spec

    return run


def count_recorded(folder: Path) -> int:
    for path in (folder / "state").rglob("*.json"):
        for note in json.loads(path.read_text() or "{}").get("started_work", {}).values():
            return sum(len(each["parts"]) for each in json.loads(note["text"])["uploads"])
    return 0


def resume(
    aws: sandbox.Sandbox, spec: Path, *, has_identity: bool = False
) -> tuple[Any, Notes, list[Any]]:
    """Returns the result, the notes about uploads, and the parts that were sent."""
    before, notes = len(aws.requests("s3")), Notes()
    identity = None if has_identity else identity_of(aws)
    result = api.run(api.load(spec), identity=identity, run_key="k", resume=True, observers=[notes])
    sent = [each for each in aws.requests("s3")[before:] if each.operation == "UploadPart"]
    return result, notes, sent


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_parts_that_are_stored_are_not_sent_again(
    killed: Callable[..., Path], aws: sandbox.Sandbox, clients: dict[str, Any], engine: str
) -> None:
    kept = clients["kept"]
    spec = killed(engine, engine)
    result, notes, sent = resume(aws, spec)
    assert result.status == "succeeded", result.steps[-1].error
    values = notes.values["an interrupted upload continues"]
    assert 3 <= values["stored_parts"] == COUNT - len(sent)
    assert (values["parts"], values["target"]) == (COUNT, f"s3://kept/{engine}")
    assert kept.get_object(Bucket="kept", Key=engine)["Body"].read() == DATA
    versions = kept.list_object_versions(Bucket="kept", Prefix=engine)["Versions"]
    assert len(versions) == 1
    assert kept.list_multipart_uploads(Bucket="kept").get("Uploads", []) == []


def test_executors_send_the_parts_that_are_missing(
    killed: Callable[..., Path],
    aws: sandbox.Sandbox,
    clients: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = killed("spread")
    spec.write_text(spec.read_text().replace("bandwidth:", "distribute: spark, bandwidth:"))
    use_job_identity(monkeypatch, aws)
    workers = InProcess(2)
    setup = WorkerSetup(wiring.open_storage, JobIdentity(aws.region), "workers")
    opener = lambda *_: lambda: Distribution(workers, setup)  # noqa: E731
    monkeypatch.setattr(wiring, "_build_cluster_opener", opener)
    result, notes, sent = resume(aws, spec, has_identity=True)
    assert result.status == "succeeded", result.steps[-1].error
    stored = notes.values["an interrupted upload continues"]["stored_parts"]
    assert 3 <= stored == COUNT - len(sent)
    assert workers.parts > 0
    assert clients["kept"].get_object(Bucket="kept", Key="spread")["Body"].read() == DATA
    assert clients["kept"].list_multipart_uploads(Bucket="kept").get("Uploads", []) == []


def test_a_source_that_changed_is_copied_from_its_beginning(
    killed: Callable[..., Path], aws: sandbox.Sandbox, clients: dict[str, Any]
) -> None:
    spec = killed("changed")
    clients["theirs"].put_object(Bucket="theirs", Key="large", Body=DATA[::-1])
    try:
        result, notes, sent = resume(aws, spec)
    finally:
        clients["theirs"].put_object(
            Bucket="theirs", Key="large", Body=DATA, ChecksumAlgorithm="CRC32"
        )
    assert result.status == "succeeded"
    values = notes.values["an interrupted upload begins anew"]
    assert (values["reason"], len(sent)) == ("the source has changed", COUNT)
    body = clients["kept"].get_object(Bucket="kept", Key="changed")["Body"].read()
    assert body == DATA[::-1]
    assert clients["kept"].list_multipart_uploads(Bucket="kept").get("Uploads", []) == []


def test_an_upload_that_no_object_needs_any_more_is_aborted(
    killed: Callable[..., Path], aws: sandbox.Sandbox, clients: dict[str, Any]
) -> None:
    spec = killed("before")
    spec.write_text(spec.read_text().replace("kept/before", "kept/after"))
    result, notes, sent = resume(aws, spec)
    assert (result.status, len(sent)) == ("succeeded", COUNT)
    values = notes.values["aborted an upload that no object needs any more"]
    assert values["target"] == "s3://kept/before"
    assert clients["kept"].list_multipart_uploads(Bucket="kept").get("Uploads", []) == []


def test_a_role_that_may_not_list_parts_begins_anew(
    killed: Callable[..., Path], aws: sandbox.Sandbox, clients: dict[str, Any]
) -> None:
    result, notes, sent = resume(aws, killed("blind", writer="blind"))
    assert (result.status, len(sent)) == ("succeeded", COUNT)
    values = notes.values["an interrupted upload begins anew"]
    assert "may not s3:ListMultipartUploadParts on arn:aws:s3:::kept/blind" in values["reason"]
    assert clients["kept"].list_multipart_uploads(Bucket="kept").get("Uploads", []) == []


def test_the_permission_to_list_parts_is_needed_with_a_state_alone(tmp_path: Path) -> None:
    fields = {"reader": READER, "writer": "writer", "target": "k", "engine": "fast"}
    text = SPEC.format(**fields, bandwidth="1GB/s")
    for each, is_needed in ((text, True), (text.replace("state:", "# state:"), False)):
        (tmp_path / "job.yaml").write_text(each)
        job = api.load(tmp_path / "job.yaml")
        (step,) = api.plan(job).steps
        actions = {permission.action for permission in step.permissions["target_role"]}
        assert ("s3:ListMultipartUploadParts" in actions) == is_needed
