"""Environments are made once for each list of packages, whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal import environment
from rolerunner.glue.rehearsal.package_lists import PackageList

pytestmark = pytest.mark.once
HERE = Path(sys.executable)
RUNTIME = RUNTIMES["glue-5.1"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rolerunner/runtimes"


def list_as(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(environment, "list_packages", lambda *_: PackageList(packages, "0123"))


def test_an_environment_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_as(monkeypatch)
    told: list[str] = []
    made = environment.provide_environment(RUNTIME, HERE, (), told.append)
    assert made.folder == cache / "glue-5.1-0123"
    assert environment.provide_environment(RUNTIME, HERE, (), told.append) == made
    assert told == ["makes an environment with the 0 packages of glue-5.1, once"]
    assert [path.name for path in cache.iterdir()] == ["glue-5.1-0123"]

    made.python.unlink()  # as when the interpreter was removed
    assert environment.provide_environment(RUNTIME, HERE, (), told.append).python.exists()
    assert len(told) == 2


def test_a_package_that_cannot_be_installed_leaves_no_environment(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_as(monkeypatch, "not a requirement")
    with pytest.raises(UsageError, match="uv pip install failed: "):
        environment.provide_environment(RUNTIME, HERE)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rolerunner").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    list_as(monkeypatch)
    with pytest.raises(UsageError, match="cannot be made: "):
        environment.provide_environment(RUNTIME, HERE)
