"""Gives a command and its processes a share of a CPU, as the smallest workers of AWS Glue have it.

The limit is a control group's ``cpu.max`` where this process may write one. Elsewhere the processes
are stopped once they have had their CPU time in a period of 100 ms, and continued in the next one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIOD = 0.1
"""Seconds in which processes have their share, as with ``cpu.max``."""
_CHECKS = 20
"""Looks at the CPU time in each period."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_GROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def limiting_cpu(leader: int, share: float) -> Iterator[None]:
    """Limits the processes of a session while the block runs; ``leader`` is its first process."""
    with _control_group(share) as group:
        if group is not None:
            (group / "cgroup.procs").write_text(str(leader))
            yield
            return
        cycle = _DutyCycle(leader, share)
        try:
            yield
        finally:
            cycle.stop()


@contextlib.contextmanager
def _control_group(share: float) -> Iterator[Path | None]:
    """Makes a control group with a limit, which is removed afterwards; None if that is refused."""
    group = None
    with contextlib.suppress(OSError, StopIteration):
        line = next(
            each
            for each in Path("/proc/self/cgroup").read_text().splitlines()
            if each.startswith("0::")
        )
        parent = _GROUPS / line[len("0::") :].lstrip("/")
        if "cpu" not in (parent / "cgroup.controllers").read_text().split():
            raise FileNotFoundError
        (parent / "cgroup.subtree_control").write_text("+cpu")
        made = parent / f"bench-{os.getpid()}"
        made.mkdir(exist_ok=True)
        (made / "cpu.max").write_text(f"{int(share * 100_000)} 100000")
        group = made
    try:
        yield group
    finally:
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()


class _DutyCycle(threading.Thread):
    """Stops the processes of a session for the rest of a period that has its CPU time."""

    def __init__(self, session: int, share: float) -> None:
        super().__init__(daemon=True)
        self._session = session
        self._share = share
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        allowed = self._used()
        while not self._over.is_set():
            began = time.monotonic()
            used = self._used()
            # what was not used is lost, and what was used too much is kept back
            allowed = max(allowed + self._share * PERIOD, used)
            self._signal(signal.SIGCONT)
            stopped = False
            while (left := began + PERIOD - time.monotonic()) > 0 and not self._over.is_set():
                if not stopped and self._used() >= allowed:
                    stopped = self._signal(signal.SIGSTOP)
                self._over.wait(left if stopped else min(left, PERIOD / _CHECKS))

    def stop(self) -> None:
        """Ends the limit."""
        self._over.set()
        self.join()
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> bool:
        """Sends a signal to all processes; they are one group, since none makes another."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._session, number)
        return True

    def _used(self) -> float:
        """Returns the CPU seconds of the session's processes, and of those that have ended."""
        total = 0
        for process in os.listdir("/proc"):
            if process.isdigit():
                fields = _read_stat(process)
                if fields and fields[3] == str(self._session):
                    total += sum(map(int, fields[11:15]))
        return total * _TICK


def _read_stat(process: str) -> list[str]:
    """Returns the fields after the name in /proc/PID/stat: the state, the parent, and so on."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return []
