"""The main job starts on every runtime of Glue: its Python, its packages, its installer, no index.

The environments stay in the user's cache, as those of `rolerunner rehearse` do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.glue.launch.runtime import RUNTIMES
from tests.conftest import CONFIGS
from tests.interpreters import find_python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # the first time the packages are fetched, about 600 MB
]
MAIN_JOB = CONFIGS / "blog_cross_role.yaml"
MOST_MEMORY = 250
"""MB; the smallest Python Shell job has 1 GB."""


def rehearse(*arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    command = [sys.executable, "-m", "rolerunner", "rehearse", *map(str, arguments)]
    ended = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, check=False
    )
    return ended.returncode, json.loads(ended.stdout or "[]"), ended.stderr


def test_the_main_job_runs_on_every_runtime_without_an_index(tmp_path: Path) -> None:
    missing = [each.python for each in RUNTIMES.values() if find_python(each.python) is None]
    if missing:
        pytest.skip(f"there is no Python {', '.join(missing)} here")
    status, rehearsals, shown = rehearse(
        MAIN_JOB, "--runtime", "all", "-p", f"target={tmp_path}/fetched/"
    )
    reasons = {each["runtime"]: each["reason"] for each in rehearsals}
    assert reasons == dict.fromkeys(RUNTIMES, ""), shown
    assert status == 0
    for each in rehearsals:
        assert each["starts"]
        assert each["succeeded"]
        assert (each["boto3"], each["boto3_is_provided"]) == (
            RUNTIMES[each["runtime"]].boto3,
            True,
        )
        assert 0 < each["memory_mb"] < MOST_MEMORY
        assert json.loads(each["log"][-1])["status"] == "warning"  # one step is refused, as meant
    assert (tmp_path / "fetched/as_other_account/some_demo_file.gz").exists()
