"""A run that has begun: what all of its steps share, and the rules by which they start."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.run.conditions import RunMoment, decide_start
from rolerunner.run.environment import RunContext
from rolerunner.run.resume import ResumeState
from rolerunner.run.selection import Selection

if TYPE_CHECKING:
    from rolerunner.model import Job, Step, StepResult
    from rolerunner.run.results import RunRecord

ReadScope = Callable[["Step"], Mapping[str, Any]]
"""Returns the values that the expressions of a step can read."""


@dataclass(frozen=True)
class ActiveRun:
    """Values and rules that hold for the job's steps and for those inside groups."""

    job: Job
    context: RunContext
    state: ResumeState
    selection: Selection
    clock: float
    """When the run began, on the clock of ``time.monotonic``."""

    @property
    def is_cancelled(self) -> bool:
        """True once the run is to stop."""
        return self.context.environment.cancel.is_set()

    def decide_start(
        self, step: Step, record: RunRecord, read_scope: Callable[[], Mapping[str, Any]]
    ) -> Optional[StepResult]:
        """Returns None if the step is to start, else how it ends without starting."""
        elapsed = time.monotonic() - self.clock
        moment = RunMoment(self.is_cancelled, elapsed, self.state.lost)
        return decide_start(step, self.job, record, moment, read_scope)

    def restore_result(
        self,
        step: Step,
        record: RunRecord,
        read_scope: Callable[[], Mapping[str, Any]],
        other_name: str = "",
    ) -> Optional[StepResult]:
        """Returns the result of a step that an earlier run did or that is not selected, else None.

        A group has none: its steps have.
        """
        if step.steps:
            return None
        if not self.selection.is_partial:
            return self.state.restore_result(step, read_scope, record.repeated)
        names = (step.id, other_name) if other_name else (step.id,)
        return None if self.selection.has_step(*names) else self.state.restore_unselected(step)
