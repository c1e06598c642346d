"""Many runs in one process leave no open files, memory or threads behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = """
version: 1
name: many
engine: {engine}
on_failure: finish
roles: {{reader: "arn:aws:iam::444455556666:role/reader",
         writer: "arn:aws:iam::444455556666:role/writer"}}
steps:
  - {{id: find, action: s3.list, role: reader, source: "s3://landing/p/"}}
  - {{id: down, action: s3.download, role: reader, objects: "${{{{ steps.find.objects }}}}",
      target: out/}}
  - {{id: up, action: s3.upload, role: writer, source: out/, target: "s3://publish/u/"}}
  - {{id: copy, action: s3.copy, source_role: reader, target_role: writer,
      source: "s3://landing/p/", target: "s3://publish/q/"}}
  - {{id: fails, action: s3.download, role: writer, source: "s3://landing/nothing", target: none}}
"""
PROGRAM = """
import gc, json, os, threading
from rolerunner import api

def held():
    gc.collect()
    status = open("/proc/self/status").read().splitlines()
    resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    files = len(os.listdir("/proc/self/fd"))
    return files, resident // 1024, threading.active_count(), gc.get_freeze_count()

seen = []
for number in range(8):
    result = api.run(api.load("spec.yaml"))
    assert [step.status for step in result.steps] == ["succeeded"] * 4 + ["failed"], result
    if number in (2, 7):
        seen.append(held())
print(json.dumps(seen))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors by /proc")
@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_runs_in_one_process_leave_nothing(memory_aws: Any, tmp_path: Path, engine: str) -> None:
    for number in range(110):
        memory_aws.put("landing", f"p/{number}", "x" * 100)
    (tmp_path / "spec.yaml").write_text(SPEC.format(engine=engine))
    command = [sys.executable, "-c", PROGRAM]
    completed = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stderr
    (files, memory, threads, frozen), last = json.loads(completed.stdout.splitlines()[-1])
    assert last[0] == files
    assert last[1] <= memory + 10
    assert (last[2], last[3]) == (threads, frozen) == (1, 0)
