"""The argument list and the environment that a rehearsed script gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.environment import Environment
from rolerunner.glue.rehearsal.installation import Installation
from rolerunner.glue.rehearsal.launch import Launch, explain_end, launch_script

STARTED = """
import json, os, sys
print(json.dumps({"event": "job_loaded"}))
names = ("AWS_PROFILE", "GLUE_INSTALLATION", "GLUE_COMMAND_CRITERIA", "PYTHONPATH", "AWS_KEY")
print(json.dumps({name: os.environ[name] for name in names if name in os.environ}))
print(os.path.basename(os.path.dirname(__file__))[:20])
"""
REFUSED = """
print('{"event": "run_failed", "type": "RolesRefused"}')
raise RuntimeError("the reason")
"""


def launch(folder: Path, text: str, runtime: str, *code: Path) -> Launch:
    script = folder / "run_spec.py"
    script.write_text(text)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    installed = Installation(Environment(folder), folder / "installed", code, 0.0)
    return launch_script(
        RUNTIMES[runtime], installed, script, [], {"AWS_KEY": "of the role"}, folder
    )


@pytest.mark.parametrize("runtime", ["pythonshell", "glue-5.1"])
def test_a_script_gets_the_variables_of_its_runtime_and_none_of_the_user(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of the user")
    code = () if runtime == "pythonshell" else (tmp_path / "code.zip",)
    ended = launch(tmp_path, STARTED, runtime, *code)
    assert (ended.error, ended.error_type) == ("", "")
    assert ended.start_seconds is not None
    assert 0 < ended.start_seconds <= ended.seconds
    assert ended.log[2] == "glue-python-scripts-"
    expected = (
        f'{{"GLUE_INSTALLATION": "{tmp_path}/installed", '
        if runtime == "pythonshell"
        else f'{{"GLUE_COMMAND_CRITERIA": "glueetl", "PYTHONPATH": "{tmp_path}/code.zip", '
    )
    assert ended.log[1] == f'{expected}"AWS_KEY": "of the role"}}'


def test_a_refused_role_is_told_from_other_reasons(tmp_path: Path) -> None:
    ended = launch(tmp_path, REFUSED, "glue-5.1")
    assert (ended.error, ended.error_type) == ("RuntimeError: the reason", "RolesRefused")
    assert ended.start_seconds is None
    assert ended.log[-1] == "RuntimeError: the reason"


def test_a_process_that_is_killed_leaves_no_report(tmp_path: Path) -> None:
    ended = launch(tmp_path, "import os; os._exit(9)", "pythonshell")
    assert ended.error == "the process ended with status 9 before the script did"


def test_a_failure_that_was_told_has_its_reason() -> None:
    lines = ["{}", "rolerunner: nightly: step 'a' failed", "more"]
    told = "Command failed with exit code 87"
    assert explain_end(told, lines) == "nightly: step 'a' failed"
    assert explain_end(told, []) == told
    assert explain_end("NotifiedFailure: why", lines) == "why"
    assert explain_end("JobFailed: why", lines) == "why"
    assert explain_end("Command failed with exit code 1", lines).endswith("code 1")
