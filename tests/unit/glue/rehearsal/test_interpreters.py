"""Interpreters that are there, missing, or only pretend to be there."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.interpreters import (
    check_platform,
    find_interpreter,
    find_interpreters,
    run_uv,
)

pytestmark = pytest.mark.once
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that has a broken python3.2, as pyenv's shims are, and no other interpreter."""
    shim = tmp_path / "bin/python3.2"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def test_missing_interpreters_are_named_together(empty_machine: Path) -> None:
    runtimes = [
        replace(RUNTIMES["pythonshell"], python="3.2"),
        replace(RUNTIMES["glue-5.0"], python=THIS),
        replace(RUNTIMES["glue-5.1"], python="3.1"),
        replace(RUNTIMES["glue-4.0"], python="3.2"),
    ]
    with pytest.raises(UsageError) as caught:
        find_interpreters(runtimes)
    assert str(caught.value) == (
        "interpreters are missing on this machine: Python 3.2 for pythonshell, glue-4.0; "
        "Python 3.1 for glue-5.1; install them, or add --install-pythons to have uv install them"
    )


def test_an_interpreter_of_pyenv_is_found_without_its_shim(empty_machine: Path) -> None:
    python = empty_machine / "pyenv/versions/3.2.7/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.2\n")
    python.chmod(0o755)
    assert find_interpreter("3.2") == python


def test_this_interpreter_is_found(empty_machine: Path) -> None:
    found = find_interpreters([replace(RUNTIMES["glue-5.1"], python=THIS)])
    assert found[THIS].exists()


def test_a_failure_of_uv_is_told(empty_machine: Path) -> None:
    with pytest.raises(UsageError, match="uv python install failed: "):
        run_uv(["python", "install", "no-such-python"])


def test_uv_is_asked_for_a_missing_interpreter_only_where_that_is_allowed(
    empty_machine: Path,
) -> None:
    runtime = replace(RUNTIMES["glue-5.1"], python="3.2")
    with pytest.raises(UsageError, match="uv python install failed: "):
        find_interpreters([runtime], install=True)


def test_a_machine_that_cannot_run_the_wheels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    check_platform()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UsageError, match=r"this is Linux on aarch64: rehearse in a container"):
        check_platform()
