"""The command: its list of commands, suggestions, and errors as lines and exit statuses."""

from __future__ import annotations

import importlib
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner

from rolerunner import cli
from rolerunner.errors import (
    AccessDenied,
    Mark,
    Problem,
    RoleRefused,
    RolerunnerError,
    RolesRefused,
    SpecError,
    UsageError,
)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_its_module_and_its_help(name: str) -> None:
    command = getattr(importlib.import_module(f"rolerunner.cli.{name}"), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    done = CliRunner().invoke(command, ["-h"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")


def test_the_help_lists_every_command_in_its_order() -> None:
    lines = CliRunner().invoke(cli.main, ["--help"], catch_exceptions=False).output.splitlines()
    commands = [
        line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line[:3].strip()
    ]
    assert [name for name in commands if name in cli.COMMANDS] == list(cli.COMMANDS)


@pytest.mark.parametrize(
    ("name", "hint"), [("vaildate", "did you mean 'validate'?"), ("zzzz", "known: run, validate")]
)
def test_an_unknown_command_is_suggested(name: str, hint: str) -> None:
    done = CliRunner().invoke(cli.main, [name])
    assert done.exit_code == 2
    assert f"there is no command '{name}' ({hint}" in done.output


PROBLEM = Problem(Mark("f.yaml", 1, 2), "unknown key 'x'", "use y", "ax: 1")
DENIED = AccessDenied("cannot be written", hint="look")


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (SpecError([PROBLEM, PROBLEM]), 2, "f.yaml:1:2: unknown key 'x'"),
        (UsageError("no such file"), 2, "rolerunner: no such file\n"),
        (RolerunnerError("broken"), 1, "rolerunner: broken\n"),
        (DENIED, 2, "rolerunner: cannot be written (look)\n"),
        (AccessDenied("cannot be written"), 2, "rolerunner: cannot be written\n"),
        (
            RolesRefused([RoleRefused("not that one", role="r")]),
            3,
            "rolerunner: 1 role was refused, no step ran\n\nrole  asked by  error\n",
        ),
        (click.UsageError("no such option"), 2, "Error: no such option\n"),
        (click.Abort(), 130, ""),
    ],
)
def test_errors_are_lines_and_statuses(
    error: Exception, status: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> NoReturn:
        raise error

    with pytest.raises(SystemExit) as caught:
        cli.run_or_exit(fail)
    output = capsys.readouterr()
    assert (caught.value.code, output.out) == (status, "")
    assert output.err.startswith(shown)


def test_other_errors_and_success_pass() -> None:
    done: list[Any] = []
    cli.run_or_exit(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        cli.run_or_exit(lambda: 1 / 0)
