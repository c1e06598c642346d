"""Both parts of the tutorial are walked from the first command to the last, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.functional.test_manual_examples import BLOCK, NAMED, TUTORIALS, assert_printed

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def make_environment(folder: Path) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "TMPDIR": str(folder.parent)}


def run(command: str, folder: Path) -> str:
    if command.startswith("rolerunner run "):
        command += " --log-format console"  # what a terminal gets by default
    ended = subprocess.run(
        command, shell=True, cwd=folder, env=make_environment(folder), capture_output=True,
        text=True, check=False, timeout=180,
    )  # fmt: skip
    return ended.stdout + ended.stderr


@contextmanager
def serve(command: str, folder: Path) -> Iterator[str]:
    """Runs a command of the second terminal; yields its output when the sandbox is ready."""
    with subprocess.Popen(
        shlex.split(command), cwd=folder, env=make_environment(folder),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as served:  # fmt: skip
        try:
            assert served.stdout is not None
            yield next(line for line in served.stdout if line.startswith("# Sandbox of "))
        finally:
            served.send_signal(signal.SIGINT)
            served.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.wheel
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_each_command_gives_what_the_tutorial_shows(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    commands = 0
    with ExitStack() as second_terminal:
        for language, text in BLOCK.findall(page.read_text()):
            if language in {"yaml", "python"}:
                file = folder / NAMED.match(text)[2]  # type: ignore[index]
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
            for command, printed in COMMAND.findall(text if language == "console" else ""):
                commands += 1
                if command.startswith("rolerunner sandbox "):
                    first = second_terminal.enter_context(serve(command, folder))
                    assert first.startswith(printed.split("/", 1)[0].rstrip("~"))
                else:
                    assert_printed(printed.splitlines(), run(command, folder))
    assert commands == page.read_text().count("\n$ ")


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_installed_extras_exist(page: Path) -> None:
    (wanted,) = re.findall(r"pip install 'rolerunner\[(.+?)\]'", page.read_text())
    provided = metadata("rolerunner").get_all("Provides-Extra") or []
    assert set(wanted.split(",")) <= set(provided)


def test_the_second_part_shows_the_example_config() -> None:
    (_, page) = TUTORIALS
    shown = [
        (named[2], text[named.end() :])
        for language, text in BLOCK.findall(page.read_text())
        if language in {"yaml", "python"} and (named := NAMED.match(text))
    ]
    assert [name for name, _ in shown] == [
        "configs/nightly.yaml", "jobs/receipts.py", "configs/nightly.test.yaml",
    ]  # fmt: skip
    for name, text in shown:
        assert (ROOT / name).read_text() == text, f"copy {name} into {page.name}"
