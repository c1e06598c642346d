"""Worker processes that are forked in advance and wait for an operation.

A fork of a process with several threads may copy a lock that is never released, so processes are
forked before the run starts threads. A forked process has all imported modules, the boto3 client
and the sessions of that moment: it starts at once and costs only the memory that it writes to.
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

MAX_PROCESSES = 4
"""Maximum number of processes, this one included: beyond that, the network is the limit."""
_THREADS = Path("/proc/self/task")
_CGROUPS = Path("/sys/fs/cgroup")
_STOPPED_SECONDS = 5
"""Time that a process may be stopped before it is killed."""
_END_SECONDS = 3.0
"""Time that a process has to end by itself before it is killed."""
_POLL_SECONDS = 0.002


class ForkedProcess:
    """A forked process, seen from its parent."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self._stopped_since = 0.0
        self._lock = threading.Lock()
        self._is_reaped = False
        channel.set_send_timeout(_STOPPED_SECONDS)

    def check(self) -> None:
        """Kills a process that has been stopped for a while, by SIGSTOP or a debugger."""
        if not self._is_stopped():
            self._stopped_since = 0.0
            return
        self._stopped_since = self._stopped_since or time.monotonic()
        if time.monotonic() - self._stopped_since > _STOPPED_SECONDS:
            self.kill()

    def kill(self) -> None:
        """Kills the process, which closes its channel.

        One that was waited for is left alone: its id may be that of another process by now.
        """
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self._is_reaped:
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Closes the channel and waits for the process to end; kills it if it does not."""
        self.channel.shut_down()
        if self._is_stopped():
            self.kill()
        deadline = time.monotonic() + _END_SECONDS
        while not self._reap(os.WNOHANG):
            if time.monotonic() > deadline:
                self.kill()
                self._reap(0)
                break
            time.sleep(_POLL_SECONDS)
        self.channel.close()

    def _reap(self, options: int) -> bool:
        """Waits for the process by waitpid's options. Returns True if it has ended."""
        with self._lock:
            if not self._is_reaped:
                try:
                    self._is_reaped = os.waitpid(self.pid, options) != (0, 0)
                except ChildProcessError:  # somebody else has waited for it
                    self._is_reaped = True
            return self._is_reaped

    def _is_stopped(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return False
        return state in ("T", "t")


class ForkedProcesses:
    """The processes of a run that wait for an operation.

    ``additional`` is the number to fork. ``lend(role, token)`` returns a session of a role for a
    worker; the session with ``token`` has expired.
    """

    def __init__(self, additional: int, lend: Callable[[Any, str], Any]) -> None:
        self.lend = lend
        self._additional = additional
        self._lock = threading.Lock()
        self._idle: list[ForkedProcess] = []
        self._frozen = contextlib.ExitStack()
        self.count = 1
        """Number of processes, this one included."""

    def fork(self, serve: Callable[[Channel], None]) -> None:
        """Forks the processes; each runs ``serve`` until its channel is closed.

        There are none if forking is not safe, and fewer if the machine allows no more.
        """
        if not self._additional or not _is_single_threaded():
            return
        self._frozen.enter_context(freeze_objects())
        self.count = 1 + self._additional
        with contextlib.suppress(OSError):
            while len(self._idle) < self._additional:
                self._idle.append(self._fork_process(serve))
        self.count = 1 + len(self._idle)

    def _fork_process(self, serve: Callable[[Channel], None]) -> ForkedProcess:
        ours, theirs = socket.socketpair()
        _flush_output()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            siblings, self._idle = self._idle, []  # a forked process has no workers of its own
            _run_forked(ours, siblings, lambda: serve(Channel(theirs)))
        theirs.close()
        return ForkedProcess(pid, Channel(ours))

    def acquire(self) -> Sequence[ForkedProcess]:
        """Returns all idle processes. The caller releases or ends them."""
        with self._lock:
            acquired, self._idle = self._idle, []
        return acquired

    def release(self, process: ForkedProcess) -> None:
        """Makes a process available to the next operation."""
        with self._lock:
            self._idle.append(process)

    def close(self) -> None:
        """Ends the idle processes; the others are ended by the operations that have them."""
        for process in self.acquire():
            process.end()
        self._frozen.close()


def choose_process_count(memory: int) -> int:
    """Returns how many processes a run can use: one for each core and 100 MB of memory.

    Only Linux forks safely enough.
    """
    if sys.platform != "linux":
        return 1
    return max(1, min(MAX_PROCESSES, _count_cores(), (memory - 50_000_000) // 100_000_000))


def _count_cores() -> int:
    """Returns the whole cores that this process may use; a container may have a fraction of one.

    Reads the quota of cgroups, version 2 and version 1, which Amazon Linux 2 has.
    """
    cores = len(os.sched_getaffinity(0))
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with contextlib.suppress(OSError, ValueError):
            quota, period = " ".join((_CGROUPS / name).read_text() for name in files).split()
            if int(quota) >= 0:
                cores = min(cores, int(quota) // int(period))
    return cores


def _is_single_threaded() -> bool:
    """Returns True if this is the only thread. A joined thread takes a moment to be gone.

    Without /proc (a chroot, a hardened container) that is unknown.
    """
    with contextlib.suppress(OSError):
        for _ in range(20):
            if len(os.listdir(_THREADS)) == 1:  # noqa: PTH208 - only their number matters
                return True
            time.sleep(0.0005)
    return False


def _run_forked(
    ours: socket.socket, siblings: Sequence[ForkedProcess], serve: Callable[[], None]
) -> None:
    """Runs the forked process and exits.

    The parent handles signals; this process sees the parent's end instead.
    """
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        ours.close()
        for sibling in siblings:  # copies of the parent's ends of their channels
            sibling.channel.close()
        with contextlib.suppress(ChannelClosed):
            serve()
        code = 0
    finally:
        os._exit(code)  # nothing of the parent is to be cleaned up here


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
