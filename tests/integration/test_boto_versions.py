"""The tests of roles with the boto3 of each Glue runtime, each in its own venv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TESTS = ["tests/functional/test_role_sessions.py", "tests/unit/iam/test_role_denials.py"]


def python39() -> str:
    installed = sorted(Path.home().glob(".pyenv/versions/3.9*/bin/python"))
    found = str(installed[-1]) if installed else shutil.which("python3.9")
    if not found:
        pytest.skip("there is no Python 3.9 here")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "oldest"),
    [("==1.21.21", True), ("==1.34.131", False), ("==1.42.97", True), (">=1.43", False)],
)
def test_roles_on(version: str, oldest: bool, tmp_path: Path) -> None:
    subprocess.run(
        [python39() if oldest else sys.executable, "-m", "venv", tmp_path / "venv"], check=True
    )
    python = tmp_path / "venv/bin/python"
    expected = [f"boto3{version}", "pytest", "pytest-timeout", "hypothesis", f"{PROJECT}[cli]"]
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *expected], check=True
    )
    environment = {**os.environ, "ROLERUNNER_SANDBOX_PYTHON": sys.executable}
    completed = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", *TESTS],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout[-4000:]
