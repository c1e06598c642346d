"""Whether the process that holds a lock has ended: pids count in their own namespace only."""

from __future__ import annotations

import os
import subprocess
import sys
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
def test_a_pid_that_was_given_to_another_process_is_gone() -> None:
    held = LockHolder.now("r", 120)
    assert held.pid_started.isdigit()
    assert replace(held, pid_started="1").is_gone()
    assert not replace(held, pid_started="").is_gone()


def test_where_the_system_tells_nothing_no_pid_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> str:
        raise FileNotFoundError

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(Path, "read_text", unreadable)
    held = replace(LockHolder.now("r", 120), pid=ended.pid)
    assert (held.pid_scope, held.pid_started, held.is_gone()) == ("", "", False)
