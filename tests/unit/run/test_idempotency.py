"""When a call may be repeated."""

from __future__ import annotations

import pytest

from rolerunner.errors import FieldError, FunctionFailed, ServiceFailed, StepError
from rolerunner.model import Step
from rolerunner.run.idempotency import can_retry, is_outcome_known

PLAIN = Step("a", "aws.call", {})
ONCE = Step("a", "aws.call", {"idempotent": False})
SLOW_DOWN = ServiceFailed("slow down", type="SlowDown")
LOST = ServiceFailed("no answer", type="InternalError")


@pytest.mark.parametrize(
    ("step", "error", "expected"),
    [
        (PLAIN, SLOW_DOWN, True),
        (PLAIN, LOST, True),
        (ONCE, SLOW_DOWN, True),
        (ONCE, LOST, False),
        (ONCE, FunctionFailed("slow down", type="SlowDown"), False),
        (PLAIN, FieldError("wrong"), False),
    ],
)
def test_a_step_that_is_not_idempotent_is_repeated_only_after_throttling(
    step: Step, error: StepError, expected: bool
) -> None:
    assert can_retry(step, error) is expected


def test_work_that_still_runs_is_never_repeated() -> None:
    error = ServiceFailed("slow down", type="SlowDown")
    error.still_runs = True
    assert not can_retry(PLAIN, error)
    assert not is_outcome_known(PLAIN, error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SLOW_DOWN, True),
        (FieldError("wrong"), True),
        (LOST, False),
        (StepError("stopped", type="Stopped"), False),
        (StepError("done", type="NotRecorded"), False),
    ],
)
def test_only_some_failures_prove_how_a_call_ended(error: StepError, expected: bool) -> None:
    assert is_outcome_known(ONCE, error) is expected


def test_of_several_items_only_a_wrong_field_proves_that_none_was_called() -> None:
    step = Step("a", "aws.call", {"idempotent": False}, for_each=[1, 2])
    assert not is_outcome_known(step, SLOW_DOWN)
    assert is_outcome_known(step, FieldError("wrong"))
