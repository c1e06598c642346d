"""The CPU time of all processes of a session, sampled while they run."""

from __future__ import annotations

import operator
import os
import statistics
import threading
import time
from dataclasses import astuple, dataclass, replace
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Wall and CPU time in seconds; ``java`` and ``workers`` are parts of the CPU time."""

    wall: float = 0.0
    cpu: float = 0.0
    java: float = 0.0
    workers: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*map(operator.sub, astuple(self), astuple(other)))


class SessionMeter(threading.Thread):
    """Samples the CPU time that the processes of a session have used so far."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self._session = session
        self._over = threading.Event()
        self._java: dict[str, float] = {}
        self._workers: dict[str, float] = {}
        self._samples = [(0.0, Cost())]
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self._samples.append((time.time(), self._read_total()))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def measure(self, start: float, end: float) -> Cost:
        """Returns the cost from the first sample after a moment to the first one after another."""
        before, after = map(self._find_sample, (start, end))
        return replace(after - before, wall=end - start)

    def _find_sample(self, moment: float) -> Cost:
        """Returns the first sample after a moment, with the median CPU time of three around it.

        A process that ends while a sample is taken counts twice there, by itself and as one that
        was waited for, or not at all.
        """
        last = len(self._samples) - 1
        place = next((n for n, (at, _) in enumerate(self._samples) if at >= moment), last)
        near = [cost.cpu for _, cost in self._samples[max(place - 1, 0) : place + 2]]
        return replace(self._samples[place][1], cpu=statistics.median(near))

    def _read_total(self) -> Cost:
        """Returns the CPU time of all processes, and of those that they have waited for.

        Those of Java and the workers count by themselves, also after their end.
        """
        total = 0.0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().rpartition(")")
            except OSError:
                continue
            pid, fields = stat.parent.name, rest.split()
            if fields[3] != str(self._session):
                continue
            own, waited_for = (sum(map(int, fields[at : at + 2])) / _TICKS for at in (11, 13))
            total += own + waited_for
            if name.endswith("(java"):
                self._java[pid] = own
            elif pid != str(self._session):
                self._workers[pid] = own
        return Cost(0.0, total, sum(self._java.values()), sum(self._workers.values()))
