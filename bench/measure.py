"""What a command costs: wall time, CPU time, peak memory; medians, and tables of them."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpu_limit import limiting_cpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

LIMIT = 1800.0
"""Seconds after which a command is taken to hang."""


@dataclass(frozen=True)
class Cost:
    """Time in seconds, and the peak memory of all processes in MiB.

    ``cpu`` is user and system time, including child processes that were waited for.
    """

    wall: float
    cpu: float
    peak: float

    def as_json(self) -> dict[str, float]:
        return asdict(self)


class Failed(Exception):
    """A command that did not end well, or not in time."""


@dataclass(frozen=True)
class Limits:
    """The CPUs and the MiB of memory that a command may use. Zero is no limit."""

    cpu: float = 0
    memory: int = 0


NO_LIMITS = Limits()


def cost_of(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limits: Limits = NO_LIMITS,
) -> Cost:
    """Runs a command, its output thrown away, and returns what it cost. Raises Failed."""
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL,
            env=environment_of(environment), cwd=cwd, start_new_session=True,
        )  # fmt: skip
        timer = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        memory = _Memory(process.pid)
        limit = limiting_cpu(process.pid, limits.cpu) if limits.cpu else contextlib.nullcontext()
        try:
            with limit:
                _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
            memory.stop()
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            told = errors.read().decode(errors="replace").strip()[-1500:]
            raise Failed(f"{' '.join(command)} ended with {process.returncode}\n{told}")
    # rounded here, so that a page made again from what was kept says the same
    peak = (
        max(usage.ru_maxrss, memory.peak) / 1024
    )  # of the largest process, or of several at a time when it was looked at
    if limits.memory and peak > limits.memory:
        raise Failed(f"{command[0]} held {peak:,.0f} MiB, more than {limits.memory:,}")
    return Cost(round(wall, 3), round(usage.ru_utime + usage.ru_stime, 3), round(peak, 3))


class _Memory(threading.Thread):
    """Measures the memory of a session's processes in KiB, ten times a second.

    Shared memory counts once.
    """

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self._session = str(session)
        self._over = threading.Event()
        self.peak = 0
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, sum(map(_held, self._processes())))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _processes(self) -> Iterator[Path]:
        for folder in Path("/proc").glob("[0-9]*"):
            stat = _lines(str(folder / "stat"))
            if stat and stat[0].rpartition(")")[2].split()[3] == self._session:
                yield folder


def _held(process: Path) -> int:
    return sum(
        int(line.split()[1])
        for line in _lines(str(process / "smaps_rollup"))
        if line.startswith("Pss:")
    )


def environment_of(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment without an AWS identity, in which Python caches compiled files."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **(more or {})}


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        *(statistics.median(getattr(cost, each.name) for cost in costs) for each in fields(Cost))
    )


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_seconds(work: Callable[[], Any], rounds: int) -> float:
    return statistics.median(seconds(work) for _ in range(rounds))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def machine() -> str:
    """This machine in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = next(
        (
            int(line.split()[1]) >> 20
            for line in _lines("/proc/meminfo")
            if line.startswith("MemTotal")
        ),
        0,
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{cores} cores of {model}, {memory} GiB, {system}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def rolerunner() -> str:
    """The command of this environment."""
    return str(Path(sys.executable).with_name("rolerunner"))
