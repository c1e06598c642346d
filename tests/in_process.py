"""Runs the command in the process of the tests, which already has its imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rolerunner.cli import run_command_line

if TYPE_CHECKING:
    import pytest

    from rolerunner import sandbox

Call = Callable[..., "subprocess.CompletedProcess[str]"]


def create_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Returns a function that runs the command with its arguments, and captures its output."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["rolerunner", *map(str, arguments)])
        monkeypatch.setattr("rolerunner.cli.run.exit_now", sys.exit)
        status = 0
        try:
            run_command_line()
        except SystemExit as completed:
            status = int(completed.code or 0)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess([*map(str, arguments)], status, out, err)

    return run


def use_job_identity(monkeypatch: pytest.MonkeyPatch, aws: sandbox.Sandbox) -> None:
    """Sets the variables by which the command finds the sandbox, as its job's role."""
    keys = aws.job_keys
    for name, value in {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": aws.region,
    }.items():
        monkeypatch.setenv(name, value)
