"""Processes that are forked ahead, while there is one thread alone, and wait until an operation wants them.

A fork of a process with several threads may copy a lock that nobody will open, so it is done before the run has any. What is
forked holds all that is imported, the boto3 client and the sessions as they are then: it is at work at once, at the cost of
the memory that it writes to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolerunner.common.gc_tuning import freeze_objects
from rolerunner.storage.workers.channel import Channel, ChannelClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST = 4
"""Processes at most, this one among them: past that, the network is what keeps a step waiting."""
_THREADS = Path("/proc/self/task")
_CGROUPS = Path("/sys/fs/cgroup")
_STOPPED = 5
"""Seconds that a process may be stopped before it is taken for gone."""
_ENDING = 3.0
"""Seconds that a process has to end by itself."""


class ForkedProcess:
    """One that was forked."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self._stopped_since = 0.0
        channel.limit_sending(_STOPPED)

    def check(self) -> None:
        """Kill a process that has been stopped (SIGSTOP, a debugger) for a while: the work that it has is done elsewhere."""
        if not self._is_stopped():
            self._stopped_since = 0.0
            return
        self._stopped_since = self._stopped_since or time.monotonic()
        if time.monotonic() - self._stopped_since > _STOPPED:
            self.kill()

    def kill(self) -> None:
        """End it with force; its channel is closed by that."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _is_stopped(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return False
        return state in ("T", "t")

    def end(self) -> None:
        """Let it end, with force where it does not by itself, and wait for that."""
        self.channel.hang_up()
        if self._is_stopped():
            self.kill()
        deadline = time.monotonic() + _ENDING
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(self.pid, signal.SIGKILL)
                    os.waitpid(self.pid, 0)
                    break
                time.sleep(0.002)
        self.channel.close()


class ForkedProcesses:
    """``more`` are to be forked. ``lend(role, token)`` gives what requests of a role are signed with; the session with ``token`` has expired."""

    def __init__(self, more: int, lend: Callable[[Any, str], Any]) -> None:
        self.lend = lend
        self._more = more
        self._lock = threading.Lock()
        self._idle: list[ForkedProcess] = []
        self._frozen = contextlib.ExitStack()
        self.count = 1
        """Of processes, this one among them."""

    def fork(self, serve: Callable[[Channel], None]) -> None:
        """Fork them; each serves until its channel is closed. Where that is not safe, or not possible, there are none."""
        if not self._more or not _is_alone():
            return
        self._frozen.enter_context(freeze_objects())
        self.count = 1 + self._more
        with contextlib.suppress(OSError):  # as many as the machine lets there be
            while len(self._idle) < self._more:
                self._idle.append(self._forked(serve))
        self.count = 1 + len(self._idle)

    def _forked(self, serve: Callable[[Channel], None]) -> ForkedProcess:
        ours, theirs = socket.socketpair()
        _flush()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            others, self._idle = self._idle, []  # it has no others itself
            _be_forked(ours, others, lambda: serve(Channel(theirs)))
        theirs.close()
        return ForkedProcess(pid, Channel(ours))

    def take(self) -> Sequence[ForkedProcess]:
        """All that nobody has: give them back."""
        with self._lock:
            taken, self._idle = self._idle, []
        return taken

    def give_back(self, process: ForkedProcess) -> None:
        """It waits for the next operation."""
        with self._lock:
            self._idle.append(process)

    def close(self) -> None:
        """End those that wait; the others are ended by whoever has them."""
        for process in self.take():
            process.end()
        self._frozen.close()


def choose_process_count(memory: int) -> int:
    """How many processes a run has use for that may take so many bytes: one for each core that it may use, and 100 MB each."""
    if sys.platform != "linux":
        return 1  # elsewhere a fork is less safe
    return max(1, min(MOST, _cores(), (memory - 50_000_000) // 100_000_000))


def _cores() -> int:
    """Whole cores that this process may use; a container may have a part of one."""
    cores = len(os.sched_getaffinity(0))
    for quota in (
        "cpu.max",
        "cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us",
    ):  # version 2 of cgroups, and 1, which Amazon Linux 2 has
        with contextlib.suppress(OSError, ValueError):
            most, period = " ".join((_CGROUPS / name).read_text() for name in quota.split()).split()
            if int(most) >= 0:
                cores = min(cores, int(most) // int(period))
    return cores


def _is_alone() -> bool:
    """Is there this thread alone? One that was joined takes a moment to be gone."""
    for _ in range(20):
        if len(os.listdir(_THREADS)) == 1:  # noqa: PTH208 - their number alone
            return True
        time.sleep(0.0005)
    return False


def _be_forked(
    ours: socket.socket, others: Sequence[ForkedProcess], serve: Callable[[], None]
) -> None:
    """In the process that was forked. Signals are for the one that forked it, whose end this one sees."""
    code = 1
    try:
        for signalled in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signalled, signal.SIG_IGN)
        ours.close()
        for other in others:  # of which this process has copies
            other.channel.close()
        with contextlib.suppress(ChannelClosed):
            serve()
        code = 0
    finally:
        os._exit(code)  # nothing of the one that forked it is to be ended here


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
