"""Decides whether a step starts: ``when``, earlier failures, refused roles, the deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure
from rolerunner.run.inputs import resolve_templates
from rolerunner.run.results import RunRecord, describe_failure, unstarted_result
from rolerunner.spec.expressions import Template

if TYPE_CHECKING:
    from rolerunner.model import Job, Step, StepResult


@dataclass(frozen=True)
class RunMoment:
    """The state of a run at the moment when a step could start."""

    is_cancelled: bool
    elapsed: float
    """Seconds since the run began."""
    lock_lost: Optional[StepError] = None
    """Why the run has lost the lock of its run key."""


def decide_start(
    step: Step,
    job: Job,
    record: RunRecord,
    moment: RunMoment,
    read_scope: Callable[[], Mapping[str, Any]],
) -> Optional[StepResult]:
    """Returns None if the step is to start, else how it ends without starting."""
    obstacle = _find_obstacle(step, job, record, moment)
    if obstacle is not None:
        return obstacle
    if step.when == "always":
        return None
    broken = record.is_behind_failure(step)
    if step.when == "on_failure":
        return None if broken else unstarted_result(step, "skipped")
    stopped = broken or (record.failed and job.on_failure == "stop")
    if isinstance(step.when, Template) and (not stopped or _reads_failure(step.when)):
        return _evaluate_condition(step, read_scope)
    return unstarted_result(step, "not_run") if stopped else None


def _find_obstacle(
    step: Step, job: Job, record: RunRecord, moment: RunMoment
) -> Optional[StepResult]:
    """Returns the result of a step that cannot start, whatever its ``when`` says."""
    if moment.lock_lost is not None:
        return unstarted_result(step, "not_run", describe_failure(moment.lock_lost))
    if moment.is_cancelled:
        return unstarted_result(step, "not_run")
    refusal = record.refusal_for(step)
    if record.is_prevented and (refusal or not _can_follow_failure(step)):
        return unstarted_result(step, "not_run", refusal)
    if job.deadline is not None and moment.elapsed > job.deadline:
        failure = Failure("Deadline", f"the job's deadline of {job.deadline:g} s has passed")
        return unstarted_result(step, "not_run", failure)
    return None


def _evaluate_condition(
    step: Step, read_scope: Callable[[], Mapping[str, Any]]
) -> Optional[StepResult]:
    try:
        holds = bool(resolve_templates(step, step.when, read_scope()))
    except StepError as error:
        return unstarted_result(step, "failed", describe_failure(error))
    return None if holds else unstarted_result(step, "skipped")


def _can_follow_failure(step: Step) -> bool:
    """Returns True if the step's ``when`` lets it run after a failure."""
    if isinstance(step.when, Template):
        return _reads_failure(step.when)
    return bool(step.when != "on_success")


def _reads_failure(when: Template) -> bool:
    """Returns True if the expression reads a status or an error, and so decides after failures."""
    paths = [reference.path for reference in when.references]
    return any(path == ("run", "error") or path[-1] == "status" for path in paths)
