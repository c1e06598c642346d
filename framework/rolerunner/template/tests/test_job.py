"""Runs the job on the embedded AWS, as CI does: pip install 'rolerunner[cli,sandbox]' pytest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_the_job_runs(tmp_path: Path) -> None:
    """Every step succeeds, and the lines are counted right."""
    result = tmp_path / "result.json"
    command = [
        sys.executable,
        "-m",
        "rolerunner",
        "run",
        "job.yaml",
        "--sandbox",
        "-p",
        f"workdir={tmp_path}/w/",
        "--result",
        str(result),
    ]
    subprocess.run(command, cwd=PROJECT, check=True)
    steps = {step["id"]: step for step in json.loads(result.read_text())["steps"]}
    assert {step["status"] for step in steps.values()} == {"succeeded"}
    assert steps["count"]["outputs"]["lines"] == 3
