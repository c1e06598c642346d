"""The tutorial is walked from its first command to its last, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from tests.functional.test_manual_examples import BLOCK, NAMED, TUTORIAL, assert_printed

COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def run(command: str, folder: Path) -> str:
    if command.startswith("rolerunner run "):
        command += " --log-format console"  # what a terminal gets by default
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "TMPDIR": str(folder.parent)}
    ended = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    return ended.stdout + ended.stderr


@pytest.mark.slow
def test_each_command_gives_what_the_tutorial_shows(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    commands = 0
    for language, text in BLOCK.findall(TUTORIAL.read_text()):
        if language == "yaml":
            (folder / NAMED.match(text)[2]).write_text(text)  # type: ignore[index]
        for command, printed in COMMAND.findall(text if language == "console" else ""):
            assert_printed(printed.splitlines(), run(command, folder))
            commands += 1
    assert commands == TUTORIAL.read_text().count("\n$ ")
    assert (folder / "run.html").exists()


def test_the_installed_extras_exist() -> None:
    (wanted,) = re.findall(r"pip install 'rolerunner\[(.+?)\]'", TUTORIAL.read_text())
    provided = metadata("rolerunner").get_all("Provides-Extra") or []
    assert set(wanted.split(",")) <= set(provided)
