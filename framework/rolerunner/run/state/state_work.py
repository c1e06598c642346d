"""Work on a state that may not answer: abandoned once the run is to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.run.timeouts import run_with_timeout

T = TypeVar("T")
GRACE_SECONDS = 1.0
"""Time for work on the state once the run is to stop: with a step's own grace, it ends in five."""


class StateWork:
    """Runs work on one state."""

    def __init__(self, cancel: Cancel) -> None:
        self._cancel = cancel
        self.hangs = False
        """True if work was abandoned."""

    def execute(self, work: Callable[[], T]) -> T:
        """Returns the result of work; abandons it once the run is to stop. Raises StepError."""
        try:
            return run_with_timeout(work, Cancel(self._cancel), None, GRACE_SECONDS)
        except StepError as error:
            self.hangs = self.hangs or error.still_runs
            raise
