"""Each end of a script as Glue takes it, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rolerunner.glue.rehearsal import launcher

LAUNCHER = Path(launcher.__file__)


def start(folder: Path, command: str, text: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    script = folder / "script.py"
    script.write_text(text)
    report = folder / "report.json"
    options = [str(report), command, str(folder / "installed"), str(script)]
    ended = subprocess.run(
        [sys.executable, LAUNCHER, *options, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return ended.returncode, json.loads(report.read_text())


@pytest.mark.parametrize(
    ("command", "text", "error"),
    [
        ("pythonshell", "pass", ""),
        ("pythonshell", "import sys; sys.exit(0)", ""),
        ("pythonshell", "import sys; sys.exit()", ""),
        ("pythonshell", "import sys; sys.exit(3)", "Command failed with exit code 3"),
        ("pythonshell", "raise ValueError('no')", "ValueError: no"),
        ("glueetl", "pass", ""),
        (
            "glueetl",
            "import sys; sys.exit(0)",
            "sys.exit(0), which fails a Spark job with any code",
        ),
        ("glueetl", "raise ValueError('no')", "ValueError: no"),
    ],
)
def test_how_a_script_ends_decides_about_the_job_run(
    command: str, text: str, error: str, tmp_path: Path
) -> None:
    status, report = start(tmp_path, command, text)
    assert (status, report["error"]) == (1 if error else 0, error)


def test_the_installed_folder_is_behind_the_runtimes_own_packages(tmp_path: Path) -> None:
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/boto3.py").write_text("__version__ = 'shipped'")
    (tmp_path / "installed/shipped_alone.py").write_text("")
    text = "import boto3, json, shipped_alone, sys; print(boto3.__version__); "
    text += "assert sys.argv[1:] == ['--a', '1'], sys.argv; assert __name__ == '__main__'"
    status, report = start(tmp_path, "pythonshell", text, "--a", "1")
    assert (status, report["error"]) == (0, "")
    assert report["boto3"] not in ("", "shipped")
    assert Path(report["boto3_file"]).parent.name == "boto3"
    assert 5 < report["memory_mb"] < 500
