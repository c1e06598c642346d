"""The lock of a run key: which process holds it, and whether that process is gone."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

_NAMESPACES = ("pid", "time")
"""Namespaces that decide what a pid and the start time of a process mean."""
_STARTED = 19
"""The field of /proc/PID/stat that holds the start time, counted from the one after the name (proc(5), starttime)."""


@dataclass(frozen=True)
class LockHolder:
    """Which run holds a key. ``since`` and ``renewed`` are UTC in ISO 8601, for people; an empty ``run_id``: nobody."""

    run_id: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""
    renewed: str = ""
    stale_after: float = 120.0
    """Seconds without renewal after which it may be taken over."""
    pid_scope: str = ""
    """The kernel's boot and the namespaces that the pid belongs to; empty where the system tells none, as macOS does."""
    pid_started: str = ""
    """When the process began, as the kernel counts it: a later process with the same pid is another one."""

    @classmethod
    def now(cls, run_id: str, stale_after: float) -> LockHolder:
        """Return this process as the holder."""
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
        """Return whether nobody holds the key, or its process is known to have ended. A pid of elsewhere proves nothing."""
        if not self.run_id:
            return True
        if not self.pid_scope or self.pid_scope != pid_scope() or self.host != socket.gethostname():
            return False
        if not _exists(self.pid):
            return True
        started = _start_of(self.pid)
        return bool(started and self.pid_started and started != self.pid_started)


def pid_scope() -> str:
    """Return what this process's pid is relative to: the boot of the kernel and the namespaces. Empty where that is not told."""
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
    """When a process of this machine began, in the kernel's ticks; empty where /proc does not tell, or is another namespace's."""
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return ""
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and parentheses
    return fields[_STARTED] if len(fields) > _STARTED else ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def utc_now() -> str:
    """Return this moment in ISO 8601, as this machine's clock has it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def elapsed() -> float:
    """Return seconds of a clock that no one sets, and that goes on while the machine sleeps, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
