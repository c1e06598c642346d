"""A driver that is killed in the middle of a copy: a run of the same key does the rest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.sandbox.faults import Fault, FaultyProxy
from tests.integration.test_spark_cluster import (
    ARCHIVE,
    QUICK_JAVA,
    READER,
    THEIRS,
    WORLD,
    WRITER,
)
from tests.spark_venv import python_with_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner import sandbox

pytestmark = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(900)]

assert WORLD  # the fixture of the embedded AWS takes it from this module
COUNT, PER_TASK, SLOTS = 300, 25, 2
SPEC = f"""
version: 1
name: spread
max_parallel: 1
roles: {{reader: {READER}, writer: {WRITER}}}
state: {{location: state/}}
steps:
  - {{id: find, action: s3.list, role: reader, source: s3://landing/in/}}
  - {{id: copy, action: s3.copy, source_role: reader, target_role: writer, distribute: spark,
     objects: "${{{{ steps.find.objects }}}}", target: s3://archive/in/,
     tags: {{team: orders}}}}
"""
COMMAND = f"""
from rolerunner.cli import run_command_line
from rolerunner.storage.workers import distributed_tasks, timed_tasks
for module, name in (
    (distributed_tasks, "OBJECTS_PER_TASK"),
    (timed_tasks, "FIRST_ITEMS"),
    (timed_tasks, "MAX_ITEMS_PER_TASK"),
    (timed_tasks, "MAX_VALUES_PER_TASK"),
):
    assert hasattr(module, name), name
    setattr(module, name, {PER_TASK})
run_command_line()
"""
"""Runs the command with small tasks, so that the copy has several waves."""
DELAY = 0.5
"""Seconds that each write takes."""


@pytest.fixture
def start(aws: sandbox.Sandbox, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a run of one key, whose writes are slow."""
    python = python_with_spark()
    if python is None:
        pytest.skip("there is no Python 3.11 or no Java here")
    keys = aws.job_keys
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "job.yaml").write_text(SPEC)
    arguments = ["run", "job.yaml", "--run-key", "k", "--result", "r.json", "--log-format", "json"]
    with FaultyProxy(
        aws.endpoint, [Fault(operation="PutObject", delay=DELAY)]
    ).serve_in_background() as proxy:
        environment = {
            **os.environ,
            "TMPDIR": str(tmp_path),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": str(python),
            "PYSPARK_SUBMIT_ARGS": f"--master local[{SLOTS}] --conf spark.ui.enabled=false "
            f"--driver-java-options '{QUICK_JAVA}' pyspark-shell",
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token,
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_REGION": aws.region,
        }

        def run() -> subprocess.Popen[bytes]:
            with (tmp_path / "log").open("ab") as log:
                process = subprocess.Popen(
                    [str(python), "-c", COMMAND, *arguments],
                    cwd=tmp_path,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            started.append(process)
            return process

        yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def list_session(session: int) -> list[str]:
    """Returns the names of the processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            if rest.split()[3] == str(session) and rest.split()[0] != "Z":
                found.append(name.partition("(")[2])
    return found


def test_a_run_whose_driver_was_killed_is_completed_by_the_next_one(
    aws: sandbox.Sandbox, start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    theirs, archive = aws.client("s3", THEIRS), aws.client("s3", ARCHIVE)
    for number in range(COUNT):
        theirs.put_object(Bucket="landing", Key=f"in/{number:03d}", Body=b"x" * number)

    def count_copies() -> Counter[str]:
        pages = archive.get_paginator("list_object_versions").paginate(Bucket="archive")
        return Counter(each["Key"] for page in pages for each in page.get("Versions", ()))

    killed = start()
    wait_until(
        lambda: len(count_copies()) >= 3 * PER_TASK or killed.poll() is not None,
        "nothing is copied",
    )
    assert killed.poll() is None, (tmp_path / "log").read_text()[-3000:]
    killed.kill()
    killed.wait()
    wait_until(lambda: not list_session(killed.pid), "processes of Spark outlive the driver", 60)
    time.sleep(2 * DELAY)  # what was on its way arrives
    before = count_copies()
    assert 3 * PER_TASK <= len(before) < COUNT

    assert start().wait(300) == 0, (tmp_path / "log").read_text()[-3000:]
    steps = {each["id"]: each for each in json.loads((tmp_path / "r.json").read_text())["steps"]}
    outputs = steps["copy"]["outputs"]
    assert steps["find"]["status"] == "skipped", steps["find"]
    assert (outputs["count"], outputs["skipped"]) == (COUNT - len(before), len(before))
    lines = Path(outputs["objects"]["manifest"]).read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == COUNT
    assert count_copies() == Counter({f"in/{number:03d}": 1 for number in range(COUNT)})
