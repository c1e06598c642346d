"""Whether the process that holds a lock has ended: pids count in their own namespace only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rolerunner.run.state import lock_holder
from rolerunner.run.state.lock_holder import LockHolder

needs_proc = pytest.mark.skipif(
    not lock_holder.pid_scope(), reason="this system tells no boot id or namespaces"
)


def test_a_living_process_is_not_gone() -> None:
    held = LockHolder.now("r", 120)
    assert (held.pid, held.is_gone()) == (os.getpid(), False)
    assert LockHolder().is_gone(), "nobody holds it"


@needs_proc
def test_a_process_that_ended_is_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held = replace(LockHolder.now("r", 120), pid=ended.pid)
    assert held.is_gone()
    assert not replace(held, pid_scope="another boot").is_gone()
    assert not replace(held, pid_scope="").is_gone(), "as an earlier release wrote it, or macOS"
    assert not replace(held, host="elsewhere").is_gone()


@needs_proc
def test_a_pid_that_was_given_to_another_process_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    held = LockHolder.now("r", 120)
    assert held.pid_started.isdigit()
    assert replace(held, pid_started="1").is_gone()
    assert not replace(held, pid_started="").is_gone()
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "")
    monkeypatch.setattr(lock_holder, "pid_scope", lambda: held.pid_scope)
    assert not replace(held, pid_started="1").is_gone(), "nothing tells when this one started"


def test_where_the_system_tells_nothing_no_pid_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> str:
        raise FileNotFoundError

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(Path, "read_text", unreadable)
    held = replace(LockHolder.now("r", 120), pid=ended.pid)
    assert (held.pid_scope, held.pid_started, held.is_gone()) == ("", "", False)


@needs_proc
def test_a_process_of_another_user_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    held = LockHolder.now("r", 120)
    monkeypatch.setattr(os, "kill", refuse)
    assert not held.is_gone()


@pytest.mark.parametrize(("fields", "started"), [(19, ""), (20, "f19"), (21, "f19")])
def test_a_process_started_as_its_twentieth_field_after_the_name(
    fields: int, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = f"7 (a) b (c) {' '.join(f'f{number}' for number in range(fields))}"
    monkeypatch.setattr(Path, "readlink", lambda _: Path(str(os.getpid())))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: stat)
    assert lock_holder._start_of(7) == started
    monkeypatch.setattr(Path, "readlink", lambda _: Path("1"))
    assert lock_holder._start_of(7) == "", "/proc is of another namespace"


@pytest.mark.parametrize(
    ("boot", "has_spaces", "scope"), [("b\n", True, "b x x"), ("b", False, ""), ("", True, "")]
)
def test_a_pid_counts_within_a_boot_and_namespaces(
    boot: str, has_spaces: bool, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: boot)
    monkeypatch.setattr(Path, "readlink", lambda _: Path("x"))
    monkeypatch.setattr(os.path, "lexists", lambda _: has_spaces)
    assert lock_holder.pid_scope() == scope


def test_nobody_is_a_holder_without_process() -> None:
    assert LockHolder() == LockHolder("", "", 0, "", "", 120.0, "", "")


def test_now_is_utc_in_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", lock_holder.utc_now())


def test_elapsed_time_runs_on_while_a_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", "boot", raising=False)
    monkeypatch.setattr(time, "clock_gettime", {"boot": 7.0}.__getitem__)
    assert lock_holder.elapsed() == 7.0
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert lock_holder.elapsed() == pytest.approx(time.monotonic(), abs=60)
