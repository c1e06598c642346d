"""Numbers of steps, and limits, that all kinds of telemetry share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.actions import find_action
from rolerunner.common.units import sum_numbers
from rolerunner.step_ids import StepId, inner_id, is_inside_group

if TYPE_CHECKING:
    from rolerunner.model import StepResult

MESSAGE_LENGTH = 4 << 10
"""Maximum bytes of an error message, so that the 512 spans of a request stay below 4 MB."""
_REFUSALS = ("AccessDenied", "AccessDeniedException", "RoleRefused")
"""Types of failures that a policy causes."""


def count_objects(result: StepResult) -> float:
    """Returns the objects that a step worked on, over all of its items."""
    return sum_numbers(result.outputs.get("count")) or 0


def count_bytes(result: StepResult) -> float:
    """Returns the bytes that a step worked on, over all of its items."""
    return sum_numbers(result.outputs.get("bytes")) or 0


def moves_objects(result: StepResult) -> bool:
    """Returns True if the numbers of the step count in the totals of a run."""
    action = find_action(result.action)
    return action is None or action.counts_transfers


def is_refused(result: StepResult) -> bool:
    """Returns True if a policy made the step fail; one that a refused role kept back did not."""
    return result.status == "failed" and result.error is not None and result.error.type in _REFUSALS


def name_without_item(step_id: str) -> str:
    """Returns the id of a step for all items of its group: ``partners.fetch``."""
    if not is_inside_group(step_id):
        return step_id
    parsed = StepId.parse(step_id)
    return inner_id(parsed.step, parsed.inner)
