"""Executors of a stand-alone cluster that are killed in the middle of each kind of step.

The cluster is Spark's own: a master and two workers, each a process, which start executors and
replace those that die. Requests are slow, so that a kill finds work that is half done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.sandbox.faults import Fault, FaultyProxy
from tests.spark_venv import PACKAGE, python_with_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rolerunner import sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.release,
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
  - {{name: archive, account: "{ARCHIVE}", versioning: true}}
"""
COUNT, PER_TASK = 600, 50
PARTS = 8
BETWEEN = "source_role: reader, target_role: writer, tags: {team: orders}, distribute: spark"
SPEC = f"""
version: 1
name: spread
memory: 120MiB  # parts of 5 MiB
max_parallel: 1
roles: {{reader: {READER}, writer: {WRITER}}}
steps:
  - {{id: find, action: s3.list, role: reader, source: s3://landing/in/, distribute: spark}}
  - {{id: copy, action: s3.copy, {BETWEEN}, objects: "${{{{ steps.find.objects }}}}",
     target: s3://archive/in/}}
  - {{id: call, action: python.call, role: reader, function: "own.py:measure", batch: {PER_TASK},
     objects: "${{{{ steps.find.objects }}}}", distribute: spark}}
  - {{id: delete, action: s3.delete, role: reader, source: s3://landing/in/, max_delete: {COUNT},
     distribute: spark}}
  - {{id: large, action: s3.copy, {BETWEEN}, source: s3://landing/large/,
     target: s3://archive/large/}}
"""
OWN = """
def measure(context, objects):
    import os, time, uuid
    context.client("s3").head_object(Bucket="landing", Key=objects[0]["key"])
    open(f"{os.environ['TMPDIR']}/called-{uuid.uuid4()}", "w").close()
    time.sleep(0.5)
    return {"objects": len(objects), "bytes": sum(each["size"] for each in objects)}
"""
COMMAND = f"""
from rolerunner.cli import run_command_line
from rolerunner.storage.workers import distributed_listing, distributed_parts
from rolerunner.storage.workers import distributed_tasks, timed_tasks
for module, name in (
    (distributed_listing, "KEYS_LISTED_HERE"),
    (distributed_listing, "KEYS_PER_BLOCK"),
    (distributed_tasks, "OBJECTS_PER_TASK"),
    (distributed_tasks, "KEYS_PER_DELETION"),
    (timed_tasks, "FIRST_ITEMS"),
    (timed_tasks, "MAX_ITEMS_PER_TASK"),
    (timed_tasks, "MAX_LINES_PER_TASK"),
    (timed_tasks, "MAX_VALUES_PER_TASK"),
):
    assert hasattr(module, name), name
    setattr(module, name, {PER_TASK})
distributed_listing.TASK_SECONDS = distributed_listing.SECONDS_LISTED_HERE = 0
distributed_parts.SPREAD_BYTES, distributed_parts.PARTS_PER_TASK = 1 << 20, 1
run_command_line()
"""
"""Runs the command with small tasks, so that there are many of them."""
DELAYS = [
    Fault(operation="ListObjectsV2", delay=0.3),
    Fault(operation="PutObject", delay=0.5),
    Fault(operation="DeleteObjects", delay=1.0),
    Fault(operation="UploadPart", delay=1.0),
]
QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""The JVMs live for seconds."""
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.eventLog.enabled": "true",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.executor.extraJavaOptions": QUICK_JAVA,
    "spark.driver.extraJavaOptions": QUICK_JAVA,
}


@dataclass(frozen=True)
class Kill:
    """When an executor dies: the step's Spark job runs, and so many signs of work are new."""

    job: str
    sign: str
    after: int


KILLS = {
    "find": Kill("list ", "ListObjectsV2", 1),
    "copy": Kill("relay as", "PutObject", PER_TASK // 2),
    "call": Kill("own.py:measure as", "called", 1),
    "delete": Kill("delete as", "DeleteObjects", 1),
    "large": Kill("parts of", "UploadPart", 3),
}


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the folder of its workers, logs and executors."""

    master: str
    folder: Path
    environment: dict[str, str]
    proxy: FaultyProxy


@pytest.fixture(scope="module")
def cluster(aws: sandbox.Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers with a core each. Executors have the job's keys around them."""
    python = python_with_spark()
    if python is None:
        pytest.skip("there is no Python 3.11 or no Java here")
    folder = tmp_path_factory.mktemp("cluster")
    keys = aws.job_keys
    with (
        FaultyProxy(aws.endpoint, DELAYS).serve_in_background() as proxy,
        contextlib.ExitStack() as daemons,
    ):
        environment = {
            **os.environ,
            "TMPDIR": str(folder),
            "SPARK_HOME": str(PACKAGE),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": QUICK_JAVA,
            "PYSPARK_PYTHON": str(python),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_REGION": aws.region,
        }

        def start(name: str, *arguments: str) -> None:
            daemons.enter_context(start_daemon(folder / f"{name}.log", environment, arguments))

        master = f"spark://127.0.0.1:{find_free_port()}"
        port = master.rpartition(":")[2]
        place = ["--host", "127.0.0.1", "--webui-port", "0"]
        start("master", "org.apache.spark.deploy.master.Master", *place, "--port", port)
        for number in (1, 2):
            start(
                f"worker-{number}",
                "org.apache.spark.deploy.worker.Worker",
                *(*place, "--cores", "1", "--memory", "1g"),
                *("--work-dir", str(folder / f"work-{number}"), master),
            )
        yield Cluster(master, folder, environment, proxy)


def find_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def start_daemon(
    log: Path, environment: dict[str, str], arguments: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a class of Spark in a process group of its own, which is killed at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(PACKAGE / "bin/spark-class"), *arguments],
            env=environment,
            cwd=log.parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def bodies(aws: sandbox.Sandbox) -> dict[str, bytes]:
    """The objects of the source: key -> bytes."""
    small = {
        f"in/{number % 20:02d}/{number:04d}.csv": bytes([number % 256]) * number
        for number in range(COUNT)
    }
    large = b"".join(bytes([number]) * (5 << 20) for number in range(PARTS))
    s3 = aws.client("s3", THEIRS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="landing", Key=key, Body=small[key]), small))
    s3.put_object(Bucket="landing", Key="large/big", Body=large, ChecksumAlgorithm="CRC32")
    return {**small, "large/big": large}


@pytest.fixture(scope="module")
def completed(cluster: Cluster, bodies: dict[str, bytes]) -> dict[str, Any]:
    """The outputs of the steps of a run, in each of which an executor was killed."""
    assert bodies
    folder = cluster.folder
    (folder / "events").mkdir()
    (folder / "job.yaml").write_text(SPEC)
    (folder / "own.py").write_text(OWN)
    settings = {**SETTINGS, "spark.eventLog.dir": str(folder / "events")}
    confs = " ".join(f'--conf "{name}={value}"' for name, value in settings.items())
    python = cluster.environment["PYSPARK_PYTHON"]
    arguments = ["run", "job.yaml", "--result", "r.json", "--log-format", "json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-c", COMMAND, *arguments],
            cwd=folder,
            env={
                **cluster.environment,
                "PYSPARK_SUBMIT_ARGS": f"--master {cluster.master} {confs} pyspark-shell",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for kill in KILLS.values():
            kill_executor(cluster, kill, lambda: process.poll() is None)
        assert process.wait(300) == 0
    except AssertionError:
        raise AssertionError((folder / "log").read_text()[-3000:]) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    result = json.loads((folder / "r.json").read_text())
    return {step["id"]: step["outputs"] for step in result["steps"]}


def kill_executor(cluster: Cluster, kill: Kill, is_running: Callable[[], bool]) -> None:
    """Kills an executor that works on the step."""
    wait_until(lambda: kill.job in " ".join(read_jobs(cluster.folder).values()), is_running)
    before = count_signs(cluster)[kill.sign]
    wait_until(lambda: count_signs(cluster)[kill.sign] >= before + kill.after, is_running)
    wait_until(lambda: find_executors(cluster.folder), is_running)
    os.kill(find_executors(cluster.folder)[0], signal.SIGKILL)


def wait_until(condition: Callable[[], Any], is_running: Callable[[], bool]) -> None:
    """Until the condition holds; it must before the run ends."""
    while not condition():
        assert is_running()
        time.sleep(0.1)


def count_signs(cluster: Cluster) -> Counter[str]:
    """Counts the requests that were delayed, by operation, and the calls of the function."""
    signs = Counter(each.operation for each in list(cluster.proxy.injected))
    signs["called"] = len(list(cluster.folder.glob("called-*")))
    return signs


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    for path in (folder / "events").iterdir():
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last line may be incomplete
                yield json.loads(line)


def read_jobs(folder: Path) -> dict[int, str]:
    """Returns the description of the Spark job of each stage."""
    return {
        stage: event.get("Properties", {}).get("spark.job.description", "")
        for event in read_events(folder)
        if event["Event"] == "SparkListenerJobStart"
        for stage in event["Stage IDs"]
    }


def find_executors(folder: Path) -> list[int]:
    """Returns the ids of the executors of the cluster that have Python workers."""
    parents = set()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            if b"pyspark.daemon" in command:
                status = (path / "status").read_text()
                parents.add(int(re.findall(r"PPid:\s+(\d+)", status)[0]))
            elif b"CoarseGrainedExecutorBackend" in command and str(folder) in str(
                (path / "cwd").resolve()
            ):
                found.append(int(path.name))
        except (OSError, IndexError):
            continue
    return [pid for pid in found if pid in parents]


def test_each_step_lost_an_executor_and_nothing_else(
    completed: dict[str, Any], cluster: Cluster, bodies: dict[str, bytes]
) -> None:
    jobs = read_jobs(cluster.folder)
    lost = [
        jobs[event["Stage ID"]]
        for event in read_events(cluster.folder)
        if event["Event"] == "SparkListenerTaskEnd"
        and event["Task End Reason"]["Reason"] == "ExecutorLostFailure"
    ]
    for step, kill in KILLS.items():
        assert [each for each in lost if kill.job in each], f"no task of '{step}' was lost"
    size = sum(len(body) for key, body in bodies.items() if key.startswith("in/"))
    assert [completed[name]["count"] for name in ("find", "copy", "delete")] == [COUNT] * 3
    assert [completed[name]["bytes"] for name in ("find", "copy")] == [size] * 2
    assert completed["call"] == {"objects": COUNT, "bytes": size}
    assert completed["large"]["count"] == 1
    for name in ("find", "copy"):
        lines = Path(completed[name]["objects"]["manifest"]).read_text().splitlines()
        assert len(lines) == len({json.loads(line)["key"] for line in lines}) == COUNT


def test_the_targets_have_each_object_and_no_part_is_left(
    completed: dict[str, Any], aws: sandbox.Sandbox, bodies: dict[str, bytes]
) -> None:
    assert completed
    s3 = aws.client("s3", ARCHIVE)
    pages = s3.get_paginator("list_object_versions").paginate(Bucket="archive")
    versions = [each for page in pages for each in page["Versions"]]
    latest = {each["Key"]: each["ETag"].strip('"') for each in versions if each["IsLatest"]}
    whole = s3.get_object(Bucket="archive", Key="large/big")["Body"].read()
    assert hashlib.md5(whole).digest() == hashlib.md5(bodies["large/big"]).digest()
    assert latest.pop("large/big").endswith(f"-{PARTS}")
    assert latest == {
        key: hashlib.md5(body).hexdigest() for key, body in bodies.items() if key != "large/big"
    }
    counts = Counter(each["Key"] for each in versions)
    assert counts["large/big"] == 1
    # what was on its way when the executor died arrives all the same
    assert len(versions) <= COUNT + 1 + PER_TASK
    assert s3.list_multipart_uploads(Bucket="archive").get("Uploads", []) == []
    listed = aws.client("s3", THEIRS).list_objects_v2(Bucket="landing")["Contents"]
    assert [each["Key"] for each in listed] == ["large/big"]


def test_each_python_worker_assumed_each_role_once(
    completed: dict[str, Any], aws: sandbox.Sandbox
) -> None:
    assert completed
    # this process, two executors, and one in the place of each that died
    for role in (READER, WRITER):
        assert 2 <= aws.assume_role_count()[role] <= 3 + len(KILLS)


def test_no_key_of_a_role_or_of_the_job_is_in_any_file(
    completed: dict[str, Any], cluster: Cluster, aws: sandbox.Sandbox
) -> None:
    assert completed
    files = [path for path in cluster.folder.rglob("*") if path.is_file() and path.suffix != ".jar"]
    text = "".join(path.read_text(errors="replace") for path in files)
    assert "SparkListenerTaskEnd" in text
    assert [each for each in (aws.job_keys.secret_key, aws.job_keys.token) if each in text] == []
    assert re.findall(r"ASIA[A-Z0-9]{12,}|FwoG[\w+/=]{16,}", text) == []
