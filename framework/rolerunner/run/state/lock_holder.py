"""The holder of a run key's lock, and whether its process has ended."""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime, timezone
from pathlib import Path

from rolerunner.lazy_dataclass import dataclass

_NAMESPACES = ("pid", "time")
"""Namespaces that a pid and the start time of a process are relative to."""
_STARTED = 19
"""Index of the start time in /proc/PID/stat, after the process name (proc(5), starttime)."""


@dataclass(frozen=True)
class LockHolder:
    """The run that holds a key. ``since`` and ``renewed`` are UTC in ISO 8601.

    An empty ``run_id`` means that nobody holds it.
    """

    run_id: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""
    renewed: str = ""
    stale_after: float = 120.0
    """Seconds without renewal after which another run may take the key."""
    pid_scope: str = ""
    """The kernel's boot id and the namespaces of the pid; empty where unavailable, as on macOS."""
    pid_started: str = ""
    """Start time of the process, in kernel ticks: tells it from a later one with the same pid."""

    @classmethod
    def now(cls, run_id: str, stale_after: float) -> LockHolder:
        """Returns this process as the holder."""
        moment = utc_now()
        return cls(
            run_id,
            socket.gethostname(),
            os.getpid(),
            moment,
            moment,
            stale_after,
            pid_scope(),
            _start_of(os.getpid()),
        )

    def is_gone(self) -> bool:
        """Returns True if nobody holds the key, or the holder's process has ended.

        A pid of another machine or container proves nothing.
        """
        if not self.run_id:
            return True
        if not self.pid_scope or self.pid_scope != pid_scope() or self.host != socket.gethostname():
            return False
        if not _is_running(self.pid):
            return True
        started = _start_of(self.pid)
        return bool(started and self.pid_started and started != self.pid_started)


def pid_scope() -> str:
    """Returns the boot id and namespaces that pids are relative to; empty where unavailable."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        spaces = [
            str(Path(f"/proc/self/ns/{name}").readlink())
            for name in _NAMESPACES
            if os.path.lexists(f"/proc/self/ns/{name}")
        ]
    except (OSError, ValueError):
        return ""
    return " ".join([boot, *spaces]) if boot and spaces else ""


def _start_of(pid: int) -> str:
    """Returns when a process of this machine started, in kernel ticks; empty where unavailable."""
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return ""
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and parentheses
    return fields[_STARTED] if len(fields) > _STARTED else ""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def utc_now() -> str:
    """Returns the current time in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def elapsed() -> float:
    """Returns seconds of a clock that cannot be set and, if possible, runs on during suspend."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
