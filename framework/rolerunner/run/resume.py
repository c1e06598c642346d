"""Knowledge of earlier runs: nothing, or the state of a run key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol

from rolerunner.errors import StepError, UsageError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure
from rolerunner.run.results import unstarted_result
from rolerunner.run.selection import Selection

if TYPE_CHECKING:
    from rolerunner.model import Job, Step, StepResult
    from rolerunner.run.environment import RunContext
    from rolerunner.run.results import RunRecord

NOT_SELECTED = "it was not selected"
ReadScope = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class RunOptions:
    """Selects the state that a run keeps, and the steps that it runs."""

    run_key: str = ""
    """Empty: the id of the run."""
    must_exist: bool = False
    take_over: bool = False
    only: frozenset[str] = frozenset()
    """Ids of the steps to run, of groups, or of parts of groups; empty: all."""

    @property
    def selection(self) -> Selection:
        """The steps to run. Raises UsageError for what is not an id."""
        return Selection.of(self.only)


class ResumeState(Protocol):
    """The interface of the state that a run keeps."""

    @property
    def started(self) -> Optional[datetime]:
        """The start of the key's first run; None if this run is the first."""

    @property
    def lost(self) -> Optional[StepError]:
        """The reason why the lock is lost; None while it is held."""

    @property
    def is_resumed(self) -> bool:
        """True if an earlier run may have done a part of the job."""

    def has_step(self, step_id: str) -> bool:
        """Returns True if the outputs of a step, or of some steps of a group, are known."""

    def restore_result(
        self, step: Step, read_scope: ReadScope, repeated: set[str]
    ) -> Optional[StepResult]:
        """Returns the result of a step that need not run again; None for one that must."""

    def restore_unselected(self, step: Step) -> StepResult:
        """Returns the result of a step that was not selected to run."""

    def mark_begun(self, step: Step) -> None:
        """Records that a call begins which must not be repeated. Raises StepError."""

    def clear_begun(self, step: Step, error: StepError) -> None:
        """Takes that back if the call is known to have failed."""

    def record_result(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> StepResult:
        """Records a completed step before its dependents start; if that fails, the step fails.

        A step inside a group is written with others, within seconds or by ``flush``.
        """

    def flush(self) -> None:
        """Writes the steps of a group that are not written yet. Raises StepError."""

    def explain_stop(self, error: StepError) -> StepError:
        """Returns the loss of the lock if that is why the step was stopped, else the error."""

    def release(self) -> None:
        """Gives up the lock."""


class NoState:
    """Stands for the state of a job that keeps none."""

    started: Optional[datetime] = None
    lost: Optional[StepError] = None
    is_resumed = False

    def has_step(self, step_id: str) -> bool:
        """Returns False."""
        del step_id
        return False

    def restore_result(
        self, step: Step, read_scope: ReadScope, repeated: set[str]
    ) -> Optional[StepResult]:
        """Returns None: every step runs."""
        del step, read_scope, repeated
        return None

    def restore_unselected(self, step: Step) -> StepResult:
        """Returns a skipped step without outputs."""
        return unstarted_result(step, "skipped", reason=NOT_SELECTED)

    def mark_begun(self, step: Step) -> None:
        """Does nothing."""

    def clear_begun(self, step: Step, error: StepError) -> None:
        """Does nothing."""

    def record_result(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> StepResult:
        """Returns the result unchanged."""
        del step, scope, left
        return result

    def flush(self) -> None:
        """Does nothing."""

    def explain_stop(self, error: StepError) -> StepError:
        """Returns the error."""
        return error

    def release(self) -> None:
        """Does nothing."""


def open_state(job: Job, options: RunOptions, run: RunContext) -> ResumeState:
    """Returns the state of the run, its lock held if the job keeps state.

    Raises StateHeld, UsageError.
    """
    if job.state is not None:
        from rolerunner.run.state.kept_state import open_kept_state  # noqa: PLC0415 - few jobs

        return open_kept_state(job, job.state, options, run)
    if options.run_key:
        raise UsageError(
            "the spec keeps no state, so there is nothing to resume; "
            "add 'state: {location: ...}' to it"
        )
    return NoState()


def check_selection(job: Job, selection: Selection, state: ResumeState) -> None:
    """Raises UsageError if a selected step reads outputs that are not known."""
    if not selection.is_partial:
        return
    for step in job.steps:
        if not selection.has_part_of(step.id):
            continue
        known = (selection.has_part_of(name) or state.has_step(name) for name in step.references)
        unknown = [name for name, is_known in zip(step.references, known) if not is_known]
        if unknown:
            raise UsageError(
                f"'{step.id}' reads from '{unknown[0]}', which is not selected and has no state; "
                "name a run with --resume KEY"
            )


def find_unknown_input(step: Step, record: RunRecord) -> Optional[Failure]:
    """Returns why a selected step cannot run: it reads from one that is neither selected nor known.

    ``record`` has the results of the steps before it.
    """
    for name in step.references:
        result = record.results.get(name)
        if result is not None and result.reason == NOT_SELECTED and not result.was:
            message = f"it reads from '{name}', which is not selected and has no state"
            hint = "select it with --only, too, or name a run with --resume KEY"
            return Failure("NotSelected", message, hint)
    return None
