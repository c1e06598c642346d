"""On a file system whose encoding is ASCII, a name that cannot be encoded fails its file only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

SPEC = """
version: 1
name: names
on_failure: finish
engine: ENGINE
roles: {reader: "arn:aws:iam::444455556666:role/reader"}
steps:
  - {id: folder, action: s3.download, role: reader, source: "s3://landing/p/", target: out/}
  - {id: one, action: s3.download, role: reader, source: "s3://landing/p/a", target: "\\u20ac/",
     needs: []}
  - {id: up, action: s3.upload, role: reader, source: in/, target: "s3://landing/up/", needs: []}
  - {id: named, action: s3.upload, role: reader, source: "in/\\u20ac",
     target: "s3://landing/named/", needs: []}
"""


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_names_that_are_not_ascii(engine: str, tmp_path: Path, memory_aws: Store) -> None:
    memory_aws.put("landing", "p/a", "a")
    memory_aws.put("landing", "p/€", "a")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "€").write_text("x", encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(SPEC.replace("ENGINE", engine), encoding="utf-8")
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    command = [sys.executable, "-m", "rolerunner", "run", "spec.yaml", "--result", "r.json"]
    completed = subprocess.run(
        command, check=False, capture_output=True, cwd=tmp_path, env=environment, timeout=60
    )
    steps: dict[str, Any] = {
        step["id"]: step for step in json.loads((tmp_path / "r.json").read_bytes())["steps"]
    }
    assert completed.returncode == 4, completed
    assert b"Traceback" not in completed.stdout + completed.stderr
    for name in ("folder", "one"):
        assert steps[name]["status"] == "failed", steps
        assert "ascii" in steps[name]["error"]["message"], steps[name]["error"]
        assert "PYTHONUTF8=1" in steps[name]["error"]["hint"], steps[name]["error"]
    for name in ("up", "named"):
        assert steps[name]["status"] in ("failed", "succeeded")
        assert steps[name]["status"] == "failed" or f"s3://landing/{name}/€" in memory_aws.bodies()
