"""The main job starts on the runtimes of Glue: their Python, packages, installers, and no index.

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


@pytest.mark.parametrize(
    ("runtime", "names"),
    [
        ("pythonshell", ("pythonshell",)),
        ("glue-5.1", ("glue-5.1",)),  # the default of Spark jobs
        pytest.param("all", tuple(RUNTIMES), marks=pytest.mark.release),
    ],
)
def test_the_main_job_runs_on_a_runtime_without_an_index(
    runtime: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    pythons = {RUNTIMES[name].python for name in names}
    missing = [each for each in pythons if find_python(each) is None]
    if missing:
        pytest.skip(f"there is no Python {', '.join(missing)} here")
    status, rehearsals, shown = rehearse(
        MAIN_JOB, "--runtime", runtime, "-p", f"target={tmp_path}/fetched/"
    )
    reasons = {each["runtime"]: each["reason"] for each in rehearsals}
    assert reasons == dict.fromkeys(names, ""), shown
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
