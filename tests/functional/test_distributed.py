"""``distribute`` gives the results of one machine; here the machines are an in-process pool."""

from __future__ import annotations

import json
import pickle
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox, wiring
from rolerunner.actions import function_batches
from rolerunner.errors import RoleRefused, StepError
from rolerunner.events import Note, StepProgress
from rolerunner.sessions.identity import JobIdentity
from rolerunner.spark import requirements
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.workers import (
    distributed_listing,
    distributed_parts,
    distributed_tasks,
    timed_tasks,
)
from rolerunner.storage.workers.distributed import Distribution
from rolerunner.storage.workers.worker_setup import WorkerSetup
from tests.conftest import identity_of
from tests.workers import InProcess, imitate_executors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.model import StepResult

HERE, THERE = "111122223333", "444455556666"
TRUST = (
    f'[{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{HERE}:role/job"}}, '
    "Action: sts:AssumeRole}]"
)
WORLD = f"""
version: 1
job_role: arn:aws:iam::{HERE}:role/job
roles:
  - arn: arn:aws:iam::{HERE}:role/job
    permissions: [{{Effect: Allow, Action: ["s3:*", "sts:AssumeRole"], Resource: "*"}}]
  - arn: arn:aws:iam::{THERE}:role/reader
    trust: {TRUST}
    permissions:
      - {{Effect: Allow, Action: "s3:*", Resource: ["arn:aws:s3:::theirs",
          "arn:aws:s3:::theirs/*"]}}
      - {{Effect: Deny, Action: "s3:GetObject", Resource: "arn:aws:s3:::theirs/in/denied*"}}
buckets:
  - {{name: ours, account: "{HERE}"}}
  - {{name: kept, account: "{HERE}", versioning: true}}
  - {{name: theirs, account: "{THERE}"}}
"""
READER = f"arn:aws:iam::{THERE}:role/reader"
COUNT = 60


@pytest.fixture(scope="module")
def s3(aws: sandbox.Sandbox) -> dict[str, Any]:
    """Bucket -> a client of its owner; in 'theirs' are the objects that most tests work on."""
    ours, theirs = aws.client("s3", HERE), aws.client("s3", THERE)
    put_objects(theirs)
    return {"ours": ours, "kept": ours, "theirs": theirs}


def put_objects(client: Any) -> None:
    for number in range(COUNT):
        client.put_object(Bucket="theirs", Key=f"in/{number:03d}.csv", Body=b"x" * number)


@pytest.fixture
def empty(s3: dict[str, Any]) -> None:
    """Nothing is in our buckets."""
    for bucket in ("ours", "kept"):
        told = s3[bucket].list_object_versions(Bucket=bucket)
        to_delete = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*told.get("Versions", ()), *told.get("DeleteMarkers", ()))
        ]
        if to_delete:
            s3[bucket].delete_objects(Bucket=bucket, Delete={"Objects": to_delete})


@pytest.fixture
def pool(
    aws: sandbox.Sandbox, s3: dict[str, Any], empty: None, monkeypatch: pytest.MonkeyPatch
) -> InProcess:
    """Workers that take their identity from the environment, as executors do; tasks are small."""
    imitate_executors(aws, monkeypatch)
    monkeypatch.setattr(timed_tasks, "MAX_ITEMS_PER_TASK", 20)
    workers = InProcess(2)
    monkeypatch.setattr(
        wiring,
        "_build_cluster_opener",
        lambda *_: (
            lambda: Distribution(
                workers, WorkerSetup(wiring.open_storage, JobIdentity(aws.region), "workers")
            )
        ),
    )
    return workers


@pytest.fixture
def step(tmp_path: Path, pool: InProcess) -> Callable[..., StepResult]:
    return lambda action, **fields: run(tmp_path, action, **fields)[0]


def run(
    folder: Path, action: str, *, identity: Any = None, role: str = READER, **fields: Any
) -> tuple[StepResult, list[Any]]:
    told: list[Any] = []

    class Listener:
        def notify(self, event: Any) -> None:
            told.append(event)

    path = folder / "job.yaml"
    path.write_text(
        "version: 1\n"
        "name: t\n"
        "steps:\n"
        f"  - {json.dumps({'id': 'it', 'action': action, 'role': role, **fields})}\n"
    )
    return api.run(api.load(path), identity=identity, observers=[Listener()]).steps[-1], told


def keys(s3: dict[str, Any], bucket: str) -> list[str]:
    return [each["Key"] for each in s3[bucket].list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_a_listing_is_the_same_in_many_spans(step: Any, pool: InProcess) -> None:
    found = step("s3.list", source="s3://theirs/in/", distribute="spark")
    assert [info.key for info in found.outputs["objects"]] == [
        f"in/{number:03d}.csv" for number in range(COUNT)
    ]
    assert (found.outputs["count"], found.outputs["bytes"]) == (COUNT, sum(range(COUNT)))
    assert pool.parts > 1
    missing = step("s3.list", source="s3://no-such-bucket-here/", distribute="spark")
    assert missing.error.type == "AccessDenied"  # the role may not look there


def test_versions_of_a_key_stay_together(s3: dict[str, Any], step: Any, pool: InProcess) -> None:
    for number in range(30):
        s3["kept"].put_object(Bucket="kept", Key=f"in/{number % 3}", Body=str(number).encode())
    here, there = (
        step("s3.list", role="job", source="s3://kept/in/", versions=True, **more)
        for more in ({}, {"distribute": "spark"})
    )
    assert [(info.key, info.version) for info in there.outputs["objects"]] == [
        (info.key, info.version) for info in here.outputs["objects"]
    ]
    assert pool.parts > 1


def test_a_copy_between_two_roles_a_move_and_a_deletion(
    s3: dict[str, Any], step: Any, pool: InProcess
) -> None:
    fields = {
        "source": "s3://theirs/in/",
        "source_role": READER,
        "target_role": "job",
        "distribute": "spark",
    }
    copied = step("s3.copy", target="s3://ours/in/", **fields)
    assert (copied.outputs["count"], copied.outputs["bytes"]) == (COUNT, sum(range(COUNT)))
    assert keys(s3, "ours") == keys(s3, "theirs")
    assert pool.parts > COUNT // 5
    within = step(
        "s3.copy", role="job", source="s3://ours/in/", target="s3://kept/two/", distribute="spark"
    )
    assert (within.outputs["count"], len(keys(s3, "kept"))) == (COUNT, COUNT)
    again = step("s3.copy", target="s3://ours/in/", if_exists="skip_same", **fields)
    assert (again.outputs["count"], again.outputs["skipped"]) == (0, COUNT)
    s3["ours"].put_object(Bucket="ours", Key="in/extra", Body=b"x")
    mirrored = step("s3.copy", target="s3://ours/in/", delete_extra=True, max_delete=1, **fields)
    assert (mirrored.outputs["deleted"], len(keys(s3, "ours"))) == (1, COUNT)
    named = step(
        "s3.copy",
        target="s3://kept/named/",
        name="${{ object.stem }}-${{ object.number }}",
        keep_times=True,
        **fields,
    )
    assert named.outputs["count"] == COUNT
    assert "named/000-1" in keys(s3, "kept")
    for number in range(COUNT):
        s3["kept"].delete_object(Bucket="kept", Key=f"named/{number:03d}-{number + 1}")
    moved = step("s3.copy", target="s3://kept/in/", move=True, **fields)
    assert (moved.outputs["count"], keys(s3, "theirs"), len(keys(s3, "kept"))) == (
        COUNT,
        [],
        2 * COUNT,
    )
    put_objects(s3["theirs"])
    too_many = step(
        "s3.delete", role="job", source="s3://ours/in/", max_delete=3, distribute="spark"
    )
    assert too_many.error.type == "MaxDelete"
    gone = step(
        "s3.delete", role="job", source="s3://ours/in/", max_delete=COUNT, distribute="spark"
    )
    assert (gone.outputs["count"], keys(s3, "ours")) == (COUNT, [])


@pytest.mark.parametrize(("if_exists", "seconds"), [("overwrite", 1), ("fail", 1), ("fail", 0)])
def test_what_a_worker_did_before_it_died_is_not_done_again(
    if_exists: str,
    seconds: int,
    s3: dict[str, Any],
    step: Any,
    pool: InProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed_tasks, "TASK_SECONDS", seconds)
    objects = [f"s3://theirs/in/{number:03d}.csv" for number in range(40)]
    pool._dies = set(range(100))
    fields = {
        "source_role": READER,
        "target_role": "job",
        "distribute": "spark",
        "if_exists": if_exists,
    }
    copied = step("s3.copy", objects=objects, target="s3://kept/in/", **fields)
    assert (copied.status, copied.outputs["count"]) == ("succeeded", 40)
    versions = s3["kept"].list_object_versions(Bucket="kept")["Versions"]
    assert len(versions) == 40


def test_tasks_without_time_leave_nothing_out_and_nothing_twice(
    s3: dict[str, Any],
    step: Any,
    pool: InProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each task does its first objects, gives back the rest, and begins none of these."""
    monkeypatch.setattr(distributed_tasks, "TASK_SECONDS", 0)
    monkeypatch.setattr(function_batches, "TASK_SECONDS", 0)
    monkeypatch.setattr(timed_tasks, "FIRST_ITEMS", 50)
    pool._dies = {3}
    fields = {"source": "s3://theirs/in/", "source_role": READER, "distribute": "spark"}
    copied = step("s3.copy", target="s3://kept/in/", target_role="job", **fields)
    assert (copied.status, copied.outputs["count"]) == ("succeeded", COUNT)
    assert len(s3["kept"].list_object_versions(Bucket="kept")["Versions"]) == COUNT
    before = pool.parts
    (tmp_path / "own.py").write_text(
        "def count(context, objects):\n    return {'objects': len(objects)}\n"
    )
    objects = [f"s3://theirs/in/{number}" for number in range(COUNT)]
    function = {"function": "own.py:count", "objects": objects, "batch": 7}
    called = step("python.call", role="job", distribute="spark", **function)
    assert called.outputs == {"objects": COUNT}
    assert pool.parts - before >= COUNT // 7


def test_failures_come_back_with_their_reasons(s3: dict[str, Any], step: Any) -> None:
    for number in range(3):
        s3["theirs"].put_object(Bucket="theirs", Key=f"in/denied-{number}", Body=b"x")
    fields = {
        "source": "s3://theirs/in/",
        "target": "s3://ours/in/",
        "source_role": READER,
        "target_role": "job",
        "distribute": "spark",
    }
    failed = step("s3.copy", **fields)
    assert failed.status == "failed"
    assert failed.error.type == "AccessDenied"
    assert f"3 of {COUNT + 3} objects failed" in failed.error.message
    tolerated = step("s3.copy", **fields, max_failures=3)
    assert (tolerated.status, tolerated.outputs["count"]) == ("warning", COUNT)
    for number in range(3):
        s3["theirs"].delete_object(Bucket="theirs", Key=f"in/denied-{number}")


def test_progress_comes_as_parts_end(pool: InProcess, tmp_path: Path) -> None:
    fields = {
        "source": "s3://theirs/in/",
        "target": "s3://ours/in/",
        "source_role": READER,
        "target_role": "job",
    }
    _, told = run(tmp_path, "s3.copy", distribute="spark", **fields)
    progress = [event for event in told if isinstance(event, StepProgress)]
    assert progress[-1].total_objects == COUNT
    assert progress[-1].bytes > 0


FUNCTION = """
def measure(context, objects, factor=1):
    assert context.client("s3").head_object(Bucket="theirs", Key=objects[0]["key"])
    context.log("measured", first=objects[0]["uri"])
    return {"calls": 1, "bytes": factor * sum(each["size"] for each in objects)}

def wrong(context, objects):
    return {"names": [each["key"] for each in objects]}
"""


@pytest.mark.parametrize("where", [{}, {"distribute": "spark"}], ids=["here", "spread"])
def test_a_function_is_called_for_batches_and_its_numbers_are_added_up(
    where: Any, pool: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function_batches, "TASK_SECONDS", 0)  # each batch in a task of its own
    (tmp_path / "own.py").write_text(FUNCTION)
    (tmp_path / "job.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        "steps:\n"
        f"  - {{id: find, action: s3.list, role: '{READER}', source: s3://theirs/in/}}\n"
        f"  - {{id: it, action: python.call, role: '{READER}', function: 'own.py:measure', "
        "batch: 25, arguments: {factor: 2},"
        " objects: '${{ steps.find.objects }}', "
        f"{', '.join(f'{name}: {value}' for name, value in where.items())}}}\n"
    )
    told: list[Any] = []

    class Listener:
        def notify(self, event: Any) -> None:
            told.append(event)

    result = api.run(api.load(tmp_path / "job.yaml"), observers=[Listener()]).steps[-1]
    assert result.outputs == {"calls": 3, "bytes": 2 * sum(range(COUNT))}, result.error
    assert sorted(event.values["first"] for event in told if isinstance(event, Note)) == [
        f"s3://theirs/in/{number:03d}.csv" for number in (0, 25, 50)
    ]


def test_a_function_for_batches_must_return_numbers(step: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(FUNCTION)
    result = step(
        "python.call",
        function="own.py:wrong",
        objects=["s3://theirs/in/000.csv"],
        distribute="spark",
    )
    assert result.error.type == "FunctionFailed"
    assert "'names' that is not a number" in result.error.message


def test_workers_in_the_sandbox_assume_roles_with_the_keys_of_a_private_file(
    aws: sandbox.Sandbox, s3: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    class Recording(InProcess):
        def _result(self, part: bytes) -> Any:
            sent.append(part)
            return super()._result(part)

    monkeypatch.setattr("rolerunner.spark.requirements.find_obstacle", str)
    session = SimpleNamespace(sparkContext=None)
    monkeypatch.setattr("rolerunner.spark.session.get_session", lambda: session)
    monkeypatch.setattr("rolerunner.spark.pool.SparkTaskRunner", lambda _: Recording(2))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(distributed_listing, "KEYS_LISTED_HERE", 3)
    monkeypatch.setattr(distributed_listing, "SECONDS_LISTED_HERE", 0)
    before = aws.assume_role_count().get(READER, 0)
    identity = replace(identity_of(aws), is_shared=True)
    result, told = run(
        tmp_path, "s3.list", identity=identity, source="s3://theirs/in/", distribute="spark"
    )
    assert result.outputs["count"] == COUNT, result.error
    assert [each for each in told if isinstance(each, Note)] == []
    assert aws.assume_role_count()[READER] - before == 2  # this process, and the workers
    pickled = b"".join(sent)
    assert b".job-keys.json" in pickled
    assert aws.job_keys.secret_key.encode() not in pickled
    assert list(tmp_path.rglob(".job-keys.json")) == []


@pytest.mark.parametrize(
    ("is_shared", "reason"),
    [(False, "the job's keys stay in this process"), (True, "pyspark is not installed: pip inst")],
)
def test_in_the_sandbox_without_spark_the_work_is_done_here_and_that_is_said(
    aws: sandbox.Sandbox,
    s3: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_shared: bool,
    reason: str,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    requirements.find_obstacle.cache_clear()
    identity = replace(identity_of(aws), is_shared=is_shared)
    result, told = run(
        tmp_path, "s3.list", identity=identity, source="s3://theirs/in/", distribute="spark"
    )
    assert result.outputs["count"] == COUNT
    (note,) = [each for each in told if isinstance(each, Note) and "is ignored" in each.message]
    assert note.level == "warning"
    assert f"the step runs in this process: {reason}" in note.message
    requirements.find_obstacle.cache_clear()


def test_without_spark_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"REGION": "eu-west-1", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}
    for name, value in environment.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "pyspark" else pytest.fail(name)
    )
    result, _ = run(tmp_path, "s3.list", role="job", source="s3://theirs/in/", distribute="spark")
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("NoSpark", "pyspark is not installed")
    assert "glueetl" in result.error.hint
    assert "pip install pyspark" in result.error.hint


def test_a_pace_is_divided_among_those_that_run_at_once() -> None:
    flow = Pacer(requests_per_second=100, bandwidth=8000)
    flow.shares = 4
    flow.on_bytes = lambda _: None
    share = pickle.loads(pickle.dumps(flow))
    assert (share._rates, share.is_paced, share.on_bytes) == ((25, 2000), True, None)
    started_at = time.monotonic()
    for _ in range(10):
        share.pace_request()
    assert time.monotonic() - started_at > 0.2
    assert not pickle.loads(pickle.dumps(Pacer())).is_paced


def test_an_error_comes_back_whole() -> None:
    error = RoleRefused("no", role="r", hint="do", type="T", asked_by="me", through="it")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (RoleRefused, "no", vars(error))


def test_requests_for_each_object_are_sent_by_workers(
    s3: dict[str, Any], step: Any, pool: InProcess
) -> None:
    tagged = step("s3.tag", source="s3://theirs/in/", add={"a": "b"}, distribute="spark")
    assert (tagged.status, tagged.outputs["count"]) == ("succeeded", COUNT), tagged.error
    found = s3["theirs"].get_object_tagging(Bucket="theirs", Key="in/007.csv")["TagSet"]
    assert found == [{"Key": "a", "Value": "b"}]
    assert pool.parts > 1


@pytest.mark.parametrize("dies", [(), (2,)], ids=["alive", "dies"])
def test_restores_are_requested_by_workers_and_waited_for(
    dies: tuple[int, ...], s3: dict[str, Any], step: Any, pool: InProcess
) -> None:
    for number in range(12):
        kind = "GLACIER" if number % 3 else "STANDARD"
        s3["ours"].put_object(Bucket="ours", Key=f"old/{number:02}", Body=b"123", StorageClass=kind)
    pool._dies = set(dies)
    fields = {"role": "job", "source": "s3://ours/old/", "distribute": "spark"}
    waits = {} if dies else {"wait": True, "interval": 0.2, "max_wait": 30}
    asked = step("s3.restore", days=2, **waits, **fields)
    assert asked.error is None
    done, skipped = asked.outputs["count"], asked.outputs["skipped"]
    # what the worker asked for before it died is under way when its task runs again
    assert (done + skipped, done <= 8, dies or done) == (12, True, dies or 8)
    assert pool.parts > 2
    assert sorted(info.key for info in asked.outputs["objects"]) == keys(s3, "ours")
    if waits:
        copied = step("s3.copy", target="s3://kept/old/", **fields)
        assert (copied.error, copied.outputs["count"]) == (None, 12)


@pytest.mark.parametrize("dies", [(), (2,)], ids=["alive", "dies"])
def test_unfinished_uploads_are_aborted_by_workers(
    dies: tuple[int, ...], s3: dict[str, Any], step: Any, pool: InProcess
) -> None:
    for number in range(12):
        place = {"Bucket": "ours", "Key": f"in/{number:02}"}
        upload = s3["ours"].create_multipart_upload(**place)["UploadId"]
        s3["ours"].upload_part(**place, UploadId=upload, PartNumber=1, Body=b"123")
    pool._dies = set(dies)
    fields: dict[str, Any] = {"role": "job", "source": "s3://ours/in/", "distribute": "spark"}
    fields.update(min_age=0, measure=True)
    few = step("s3.cleanup", max_delete=11, **fields)
    assert few.error.type == "MaxDelete"
    assert pool.parts == 0
    done = step("s3.cleanup", max_delete=12, **fields)
    assert done.error is None
    assert done.outputs["count"] + done.outputs["skipped"] == 12
    assert done.outputs["bytes"] == 3 * done.outputs["count"]
    assert dies or done.outputs["count"] == 12
    assert pool.parts > 2
    assert s3["ours"].list_multipart_uploads(Bucket="ours").get("Uploads", []) == []


LARGE = 18 << 20


@pytest.fixture
def large(s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """One object among small ones, of which each part is a task."""
    monkeypatch.setattr(distributed_parts, "SPREAD_BYTES", LARGE)
    monkeypatch.setattr(distributed_parts, "PARTS_PER_TASK", 1)
    body = bytes(range(256)) * (LARGE >> 8) + b"end"
    s3["theirs"].put_object(Bucket="theirs", Key="in/large", Body=body, ContentType="text/x")
    yield body
    s3["theirs"].delete_object(Bucket="theirs", Key="in/large")


@pytest.mark.parametrize("filtered", [{}, {"include": ["large", "00*"]}], ids=["blocks", "items"])
def test_a_large_object_is_spread_by_parts(
    filtered: Any,
    large: bytes,
    s3: dict[str, Any],
    pool: InProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if filtered:  # the bytes of all objects are not known then
        monkeypatch.setattr(distributed_parts, "SPREAD_BYTES", LARGE // 4)
    fields = {"source": "s3://theirs/in/", "distribute": "spark", **filtered}
    before = pool.parts
    result, told = run(
        tmp_path,
        "s3.copy",
        target="s3://ours/in/",
        source_role=READER,
        target_role="job",
        if_exists="skip" if filtered else "overwrite",
        **fields,
    )
    assert result.status == "succeeded", result.error
    assert result.outputs["bytes"] == len(large) + sum(range(10 if filtered else COUNT))
    found = s3["ours"].get_object(Bucket="ours", Key="in/large")
    assert (found["ContentType"], found["Body"].read()) == ("text/x", large)
    assert found["ETag"].endswith('-2"')
    assert pool.parts - before >= 3  # two parts beside the small objects
    assert max(event.bytes for event in told if isinstance(event, StepProgress)) > 0
    lines = Path(str(result.outputs["objects"].path)).read_text().splitlines()
    assert sum('"in/large"' in line for line in lines) == 1


def test_a_large_object_within_one_role_is_copied_by_ranges(
    large: bytes, s3: dict[str, Any], step: Any
) -> None:
    s3["ours"].put_object(Bucket="ours", Key="from/large", Body=large)
    copied = step(
        "s3.copy",
        role="job",
        source="s3://ours/from/",
        target="s3://kept/in/",
        multipart_above=5 << 20,
        part_size=5 << 20,
        distribute="spark",
    )
    assert copied.status == "succeeded", copied.error
    found = s3["kept"].get_object(Bucket="kept", Key="in/large")
    assert found["Body"].read() == large
    assert found["ETag"].endswith('-4"')


def test_nothing_is_left_of_a_large_object_whose_part_fails(
    large: bytes, s3: dict[str, Any], step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    run_call = distributed_parts.PartTask._run_call

    def fail_second(task: Any, call: Any) -> Any:
        calls.append(call.name)
        if len(calls) == 2:
            return distributed_parts.PartResult(error=StepError("no such part", type="Broken"))
        return run_call(task, call)

    monkeypatch.setattr(distributed_parts.PartTask, "_run_call", fail_second)
    s3["ours"].put_object(Bucket="ours", Key="from/large", Body=large)
    failed = step(
        "s3.copy",
        role="job",
        source="s3://ours/from/",
        target="s3://kept/in/",
        multipart_above=5 << 20,
        part_size=5 << 20,
        distribute="spark",
    )
    assert (failed.status, failed.error.type) == ("failed", "Broken")
    assert "Uploads" not in s3["kept"].list_multipart_uploads(Bucket="kept")
    assert keys(s3, "kept") == []
