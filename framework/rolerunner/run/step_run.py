"""Runs one step, and turns how it ends into a result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.failures import as_step_error
from rolerunner.events import StepStarted
from rolerunner.model import Failure, StepResult
from rolerunner.run.attempts import CompletedWork
from rolerunner.run.items import execute_step
from rolerunner.run.results import describe_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.model import Step, StepStatus
    from rolerunner.run.environment import RunContext
    from rolerunner.run.items import ItemPlace
    from rolerunner.run.resume import ResumeState


def run_step(
    step: Step,
    scope: Mapping[str, Any],
    context: RunContext,
    state: ResumeState,
    place: Optional[ItemPlace] = None,
) -> StepResult:
    """Runs a step that is to start, and records how it ended. Raises no error of the step.

    ``place`` is that of the item, for a step inside a group.
    """
    started = time.monotonic()
    status: StepStatus = "succeeded"
    failure: Optional[Failure] = None
    try:
        _notify_step(step, context)
        state.mark_begun(step)
        work = execute_step(step, scope, context, is_resumed=state.is_resumed, place=place)
        if work.warning:
            status, failure = "warning", work.warning
    except BaseException as raised:  # noqa: BLE001 - whatever is raised ends this step alone
        error = as_step_error(raised)
        state.clear_begun(step, error)
        work = CompletedWork({}, error.attempts)
        status, failure = "failed", describe_failure(state.explain_stop(error))
    result = StepResult(
        step.id,
        step.action,
        step.role_name,
        status,
        work.attempts,
        round(time.monotonic() - started, 3),
        work.outputs,
        failure,
        roles=step.several_roles,
    )
    return state.record_result(step, result, scope, work.left)


def _notify_step(step: Step, context: RunContext) -> None:
    session_arn = context.environment.sessions.session_arn(step.role) if step.role else ""
    context.notify(StepStarted(step, session_arn))
