"""Decides whether a call may be repeated, and whether its outcome is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.errors import FieldError, FunctionFailed, StepError
from rolerunner.iam.aws_errors import is_retryable, is_throttling_failure

if TYPE_CHECKING:
    from rolerunner.actions.base import Action
    from rolerunner.model import Step

NOT_RECORDED = "NotRecorded"
"""The type of a failure that came after the work was done."""

_REMOVING_FIELDS = ("move", "delete_extra")


def is_idempotent(step: Step) -> bool:
    """Returns False if the call must not be repeated while its outcome is unknown."""
    return step.fields.get("idempotent") is not False


def removes_objects(step: Step, action: type[Action]) -> bool:
    """Returns True if the step may remove objects or files that an earlier step has read."""
    removes = (step.fields.get(name) not in (None, False) for name in _REMOVING_FIELDS)
    return action.deletes_objects or any(removes)


def can_retry(step: Step, error: BaseException) -> bool:
    """Returns True if another attempt may follow this failure.

    Work that still runs is never repeated. A step with ``idempotent: false`` is repeated only after
    throttling, the one temporary failure that is known to have no effect.
    """
    if not is_retryable(error) or getattr(error, "still_runs", False):
        return False
    return is_idempotent(step) or (
        is_throttling_failure(error) and not isinstance(error, FunctionFailed)
    )


def is_outcome_known(step: Step, error: StepError) -> bool:
    """Returns True if the failure proves how the call ended; for items, that none was made."""
    if step.for_each is not None:
        return isinstance(error, FieldError)
    if error.still_runs or error.type in ("Stopped", NOT_RECORDED):
        return False
    return is_throttling_failure(error) or not is_retryable(error)
