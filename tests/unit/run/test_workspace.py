"""The private folder of a run, and what is removed of earlier ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.model import Failure, RunResult, S3Uri, StepResult
from rolerunner.run import workspace as workspace_module
from rolerunner.run.workspace import Workspace
from rolerunner.selection.manifest import ObjectList

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86_400


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    return tmp_path / "tmp"


def result_of(outputs: Any = None, error: Any = None) -> RunResult:
    step = StepResult("a", "x", "", "succeeded", outputs=outputs or {}, error=error)
    return RunResult("r", "j", "succeeded", "", 0.0, (), (step,))


def test_a_folder_is_private_and_named_after_its_run() -> None:
    workspace = Workspace("a/b c:1")
    assert re.fullmatch(r"rolerunner-run-a-b-c-1-\w+", workspace.path.name)
    assert stat.S_IMODE(workspace.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((workspace.path / ".lock").stat().st_mode) == 0o600
    assert len(Workspace("x" * 99).path.name) == len("rolerunner-run-") + 64 + 9
    lock = os.fstat(workspace._lock)
    workspace.close()
    assert not workspace.path.exists()
    with contextlib.suppress(OSError):  # closed; another file may have its number by now
        assert os.fstat(workspace._lock) != lock


def test_a_folder_that_cannot_be_created_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(UsageError, match="set TMPDIR to a writable folder"):
        Workspace("r")


@pytest.mark.parametrize(
    "name",
    [
        lambda path: {"files": [{"path": str(path)}]},
        lambda path: {"text": f"see '{path}' there"},
        lambda path: {"folder": f"{path}/"},
        lambda path: {"objects": ObjectList(path, S3Uri("b"), 0, 0)},
        lambda path: {"path": (path,)},
    ],
    ids=["nested", "text", "folder", "list", "path"],
)
def test_files_that_the_result_names_are_kept(name: Callable[[Path], Any]) -> None:
    workspace = Workspace("r")
    kept, other = workspace.path / "sub" / "kept", workspace.path / "sub" / "other"
    kept.parent.mkdir()
    (workspace.path / "empty" / "deep").mkdir(parents=True)
    for path in (kept, other, workspace.path / "file"):
        path.write_text("x")
    workspace.result = result_of(name(kept))
    workspace.close()
    assert sorted(each.name for each in workspace.path.rglob("*")) == ["kept", "sub"]


@pytest.mark.parametrize("part", ["message", "hint"])
def test_files_that_an_error_names_are_kept(part: str) -> None:
    workspace = Workspace("r")
    (workspace.path / "kept").write_text("x")
    texts = {"message": "", "hint": "", part: f"see {workspace.path}/kept"}
    workspace.result = result_of(error=Failure("T", **texts))
    workspace.close()
    assert (workspace.path / "kept").exists()


def test_a_folder_that_the_result_names_is_kept_whole() -> None:
    workspace = Workspace("r")
    (workspace.path / "file").write_text("x")
    workspace.result = result_of({"folder": str(workspace.path)})
    workspace.close()
    assert [each.name for each in workspace.path.iterdir()] == ["file"]


def test_temporary_files_go_with_the_run_and_the_files_of_others_stay(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    workspace = Workspace("r")
    with pytest.raises(ValueError, match="failed"), workspace.target_folder(target) as folder:  # noqa: PT012
        left = target / f".rolerunner-{folder.token}-{'0' * 16}"
        other = target / f".rolerunner-{'f' * 16}-{'0' * 16}"
        left.write_text("x")
        other.write_text("x")
        raise ValueError("failed")
    workspace.close()
    assert (left.exists(), other.exists()) == (False, True)


def test_a_download_that_ended_leaves_nothing_to_remove(tmp_path: Path) -> None:
    workspace = Workspace("r")
    with workspace.target_folder(tmp_path) as folder:
        pass
    kept = tmp_path / f".rolerunner-{folder.token}-{'0' * 16}"
    kept.write_text("x")
    workspace.close()
    assert kept.exists()


KILLED = """
import os, sys, tempfile
from pathlib import Path
from rolerunner.run.workspace import Workspace

tempfile.tempdir = sys.argv[1]
workspace = Workspace("killed")
(workspace.path / "file").write_text("x")
with workspace.target_folder(Path(sys.argv[2])) as folder:
    Path(sys.argv[2], f".rolerunner-{folder.token}-{'0' * 16}").write_text("x")
    os._exit(9)
"""


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path, temporary: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run([sys.executable, "-c", KILLED, str(temporary), str(target)], check=False)
    (dead,) = temporary.iterdir()
    assert len(list(target.iterdir())) == 1
    with (dead / ".targets").open("a") as lines:
        lines.write(json.dumps([str(target), "not a token"]) + "\n[1")
    living = Workspace("living")
    assert list(temporary.iterdir()) == [living.path]
    assert list(target.iterdir()) == []
    another = Workspace("another")
    assert living.path.is_dir(), "a run that lives is left alone"
    another.close()
    living.close()


@pytest.mark.parametrize(("more", "is_kept"), [(0.0, True), (0.5, False)])
def test_a_run_that_ended_keeps_its_files_for_a_week(
    more: float, is_kept: bool, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = temporary / "rolerunner-run-ended"
    ended.mkdir(0o700)
    (ended / "file").write_text("x")
    os.utime(ended, (1e9, 1e9))
    clock = SimpleNamespace(time=lambda: 1e9 + 7 * DAY + more)
    monkeypatch.setattr(workspace_module, "time", clock)
    Workspace("r").close()
    assert ended.exists() is is_kept


@pytest.mark.parametrize("name", ["rolerunner-run-shared", "another-folder", "rolerunner-runs"])
def test_folders_of_others_stay(name: str, temporary: Path) -> None:
    folder = temporary / name
    folder.mkdir()
    folder.chmod(0o701 if name.startswith("rolerunner-run-") else 0o700)
    then = time.time() - 99 * DAY
    os.utime(folder, (then, then))
    Workspace("r").close()
    assert folder.exists()


def test_a_folder_of_another_user_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = temporary / "rolerunner-run-theirs"
    folder.mkdir(0o700)
    then = time.time() - 99 * DAY
    os.utime(folder, (then, then))
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    Workspace("r")
    assert folder.exists()


def test_only_so_many_entries_are_checked(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace_module._SCANNED == 10_000
    monkeypatch.setattr(workspace_module, "_SCANNED", 0)
    folder = temporary / "rolerunner-run-ended"
    folder.mkdir(0o700)
    then = time.time() - 99 * DAY
    os.utime(folder, (then, then))
    Workspace("r").close()
    assert folder.exists()


def test_a_folder_that_cannot_be_locked_is_removed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", lock)
    with pytest.raises(UsageError, match="No locks available"):
        Workspace("r")
    assert not list(temporary.iterdir())
