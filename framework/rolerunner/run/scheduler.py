"""Orders the steps of a job. No threads and no I/O."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.model import Step


class Scheduler:
    """Yields steps whose dependencies have finished, in the order of the file.

    What steps need of others than these has finished before.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._positions = {step.id: position for position, step in enumerate(steps)}
        self._waiting_for: dict[str, int] = {}
        self._dependents: dict[str, list[str]] = {}
        for step in steps:
            needs = [need for need in step.needs if need in self._positions]
            self._waiting_for[step.id] = len(needs)
            for need in needs:
                self._dependents.setdefault(need, []).append(step.id)
        self._ready = [index for index, step in enumerate(steps) if not self._waiting_for[step.id]]

    @property
    def has_ready(self) -> bool:
        """True if a step can start now."""
        return bool(self._ready)

    def next_ready(self) -> Step:
        """Removes and returns the first step that can start. Raises IndexError if there is none."""
        return self._steps[heapq.heappop(self._ready)]

    def mark_finished(self, step_id: str) -> None:
        """Makes the steps ready that waited only for this one."""
        for dependent in self._dependents.get(step_id, ()):
            self._waiting_for[dependent] -= 1
            if self._waiting_for[dependent] == 0:
                heapq.heappush(self._ready, self._positions[dependent])


def count_parallel_steps(steps: Sequence[Step], limit: int) -> int:
    """Returns how many of the steps can run at once: one if each waits for the one before."""
    is_chain = all(before.id in step.needs for before, step in zip(steps, steps[1:]))
    return 1 if is_chain else min(limit, len(steps))
