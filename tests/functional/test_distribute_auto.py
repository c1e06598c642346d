"""``distribute: auto`` works where it is quicker, and says where and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox, wiring
from rolerunner.errors import StepError
from rolerunner.events import Note
from rolerunner.sessions.identity import JobIdentity
from rolerunner.storage.workers import placement
from rolerunner.storage.workers.distributed import Distribution
from rolerunner.storage.workers.worker_setup import WorkerSetup
from tests.workers import InProcess, imitate_executors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACCOUNT, COUNT = "111122223333", 40
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions: [{{Effect: Allow, Action: ["s3:*", "sts:AssumeRole"], Resource: "*"}}]
buckets:
  - {{name: ours, account: "{ACCOUNT}"}}
"""
OWN = "def measure(context, objects):\n    return {'objects': len(objects)}\n"
STEPS: dict[str, dict[str, Any]] = {
    "s3.list": {"source": "s3://ours/in/"},
    "s3.copy": {"source": "s3://ours/in/", "target": "s3://ours/out/"},
    "s3.tag": {"source": "s3://ours/in/", "set": {"a": "b"}},
    "python.call": {"function": "own.py:measure", "batch": 5},
    "s3.delete": {"source": "s3://ours/in/", "max_delete": COUNT},
}


@pytest.fixture
def pool(
    aws: sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., InProcess]:
    """Puts a cluster with so many cores beside this machine, or none that starts."""
    s3 = aws.client("s3", ACCOUNT)
    for number in range(COUNT):
        s3.put_object(Bucket="ours", Key=f"in/{number:02d}", Body=b"x")
    imitate_executors(aws, monkeypatch)
    monkeypatch.setattr("rolerunner.actions.placement._CHECKED_KEYS", 10)
    (tmp_path / "own.py").write_text(OWN)

    def create(slots: int) -> InProcess:
        workers = InProcess(slots)

        def open_cluster() -> Distribution:
            if not slots:
                raise StepError("pyspark is not installed", type="NoSpark")
            identity = JobIdentity(aws.region)
            return Distribution(workers, WorkerSetup(wiring.open_storage, identity, "workers"))

        monkeypatch.setattr(wiring, "_build_cluster_opener", lambda *_: open_cluster)
        return workers

    return create


def run(folder: Path, action: str) -> tuple[Any, list[str]]:
    """Returns the outputs of a step, and where it worked."""
    notes: list[str] = []

    class Listener:
        def notify(self, event: Any) -> None:
            if isinstance(event, Note) and ("machine" in event.message or "goes" in event.message):
                notes.append(event.message)

    fields = {**STEPS[action]}
    if action == "python.call":
        fields["objects"] = [f"s3://ours/in/{number:02d}" for number in range(COUNT)]
    step = {"id": "it", "action": action, "role": "job", "distribute": "auto", **fields}
    (folder / "job.yaml").write_text(f"version: 1\nname: t\nsteps:\n  - {json.dumps(step)}\n")
    result = api.run(api.load(folder / "job.yaml"), observers=[Listener()]).steps[-1]
    assert result.status == "succeeded", result.error
    return result.outputs, notes


def count_objects(outputs: Any) -> int:
    return int(outputs.get("count", outputs.get("objects")))


@pytest.mark.parametrize("action", STEPS)
def test_little_work_stays_here(
    action: str, pool: Callable[..., InProcess], tmp_path: Path
) -> None:
    workers = pool(100)
    outputs, notes = run(tmp_path, action)
    assert (count_objects(outputs), workers.parts) == (COUNT, 0)
    (note,) = notes
    assert note.startswith("stays on this machine: 40 ")
    assert note.endswith("a Spark job alone costs 3 s")


@pytest.mark.parametrize("action", STEPS)
def test_much_work_goes_to_the_executors(
    action: str, pool: Callable[..., InProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "START_SECONDS", 0.0)
    workers = pool(100)
    outputs, notes = run(tmp_path, action)
    assert count_objects(outputs) == COUNT
    assert workers.parts > 0
    (note,) = notes
    assert note.startswith("goes to the executors: ")
    if action == "s3.list":
        assert len({info.key for info in outputs["objects"]}) == COUNT


@pytest.mark.parametrize("action", STEPS)
def test_without_spark_it_works_here(
    action: str, pool: Callable[..., InProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "START_SECONDS", 0.0)
    pool(0)
    outputs, notes = run(tmp_path, action)
    assert count_objects(outputs) == COUNT
    (note,) = notes
    assert note.startswith("stays on this machine: ")
    assert note.endswith("pyspark is not installed")
