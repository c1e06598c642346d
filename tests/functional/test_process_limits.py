"""Runs with few open files, high descriptors, little address space or a stopped worker process."""

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.memory_aws import Store

SPEC = """
version: 1
name: limits
engine: {engine}
roles: {{reader: "arn:aws:iam::444455556666:role/reader",
         writer: "arn:aws:iam::444455556666:role/writer"}}
max_parallel: {parallel}
steps:
  - {{id: down, needs: [], action: s3.download, role: reader, source: "s3://landing/p/",
      target: out/, decompress: gzip}}
  - {{id: copy, needs: [], action: s3.copy, source_role: reader, target_role: writer,
      source: "s3://landing/p/", target: "s3://publish/q/"}}
  - {{id: up, needs: [down], action: s3.upload, role: writer, source: out/,
      target: "s3://publish/u/"}}
  - {{id: same, needs: [], action: s3.copy, role: writer, source: "s3://landing/p/",
      target: "s3://publish/s/"}}
"""


def put_objects(store: Store, count: int) -> None:
    for number in range(count):
        store.put(
            "landing", f"p/d{number % 7}/{number}", b"x" * (400_000 if number % 50 == 0 else 100)
        )
        store.put("landing", f"p/z/{number}.gz", gzip.compress(b"packed", mtime=0))
    store.put("landing", "p/large", os.urandom(1 << 20) * 20)


def run(
    folder: Path, prefix: str, *, engine: str = "fast", parallel: int = 1, spec: str = SPEC
) -> "subprocess.CompletedProcess[str]":
    (folder / "spec.yaml").write_text(spec.format(engine=engine, parallel=parallel))
    command = [
        "bash",
        "-c",
        f"{prefix}; exec {sys.executable} -m rolerunner run spec.yaml --result result.json",
    ]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize(("limit", "parallel"), [(64, 1), (160, 3)])
@pytest.mark.slow
def test_few_descriptors_are_enough(
    memory_aws: Store, tmp_path: Path, engine: str, limit: int, parallel: int
) -> None:
    put_objects(memory_aws, 120)
    completed = run(tmp_path, f"ulimit -n {limit}", engine=engine, parallel=parallel)
    assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 241
    assert {name: step["outputs"]["count"] for name, step in read_steps(tmp_path).items()} == {
        "down": 241,
        "copy": 241,
        "up": 241,
        "same": 241,
    }
    assert sum(bucket == "publish" for bucket, _ in memory_aws.objects) == 3 * 241


def test_too_few_descriptors_are_an_error_before_anything_is_done(
    memory_aws: Store, tmp_path: Path
) -> None:
    put_objects(memory_aws, 3)
    completed = run(tmp_path, "ulimit -n 36")
    assert completed.returncode == 2, completed.stdout + completed.stderr
    assert "36 open files are allowed (ulimit -n)" in completed.stderr
    assert not memory_aws.requests


def test_descriptors_above_1023(memory_aws: Store, tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2048:
        pytest.skip("so many open files are not allowed here")
    put_objects(memory_aws, 20)
    opened = 'ulimit -n 2048; for ((n = 10; n < 1050; n++)); do eval "exec $n</dev/null"; done'
    for engine in ("fast", "boto3"):
        completed = run(tmp_path, opened, engine=engine)
        assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr


@pytest.mark.skipif(
    len(getattr(os, "sched_getaffinity", lambda _: [])(0)) < 2,
    reason="helpers need a core of their own",
)
@pytest.mark.parametrize("engine_sees", ["small", pytest.param("large", marks=pytest.mark.slow)])
def test_a_stopped_helper_holds_nobody(memory_aws: Store, tmp_path: Path, engine_sees: str) -> None:
    """A worker process that gets SIGSTOP is replaced, and the step succeeds."""
    if engine_sees == "small":
        for number in range(1500):
            memory_aws.put("landing", f"p/{number}", b"x" * 100)
    else:
        memory_aws.put("landing", "p/large", os.urandom(1 << 20) * 160)
    spec = """
version: 1
name: stopped
roles: {{reader: "arn:aws:iam::444455556666:role/reader"}}
steps: [{{id: down, action: s3.download, role: reader, source: "s3://landing/p/", target: out/}}]
"""
    (tmp_path / "spec.yaml").write_text(spec.replace("{{", "{").replace("}}", "}"))
    stopped: list[int] = []

    def slow(request: Any) -> None:
        if request.method == "GET" and request.key:
            time.sleep(0.005 if engine_sees == "small" else 0.3)
            if len(memory_aws.requests) > (400 if engine_sees == "small" else 4) and not stopped:
                stopped.extend(list_children(process.pid))
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)

    memory_aws.hook = slow
    command = [sys.executable, "-m", "rolerunner", "run", "spec.yaml", "--result", "result.json"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0, out[-3000:]
    assert stopped
    assert read_steps(tmp_path)["down"]["outputs"]["count"] == (
        1500 if engine_sees == "small" else 1
    )
    assert not list(tmp_path.rglob(".rolerunner-*"))
    assert not [pid for pid in stopped if Path(f"/proc/{pid}").exists()]


def list_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def read_steps(folder: Path) -> dict[str, Any]:
    return {step["id"]: step for step in json.loads((folder / "result.json").read_text())["steps"]}


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_little_address_space_ends_with_a_result_that_names_the_limit(
    memory_aws: Store, tmp_path: Path, engine: str
) -> None:
    put_objects(memory_aws, 30)
    completed = run(tmp_path, "ulimit -v 300000", engine=engine)
    assert completed.returncode in (0, 4), completed.stdout[-2000:] + completed.stderr
    assert "Traceback" not in completed.stderr
    if completed.returncode:
        failed = next(step for step in read_steps(tmp_path).values() if step["status"] == "failed")
        assert "ulimit -v" in failed["error"]["message"]
    assert not list(tmp_path.rglob(".rolerunner-*"))
