"""Numbers of steps."""

from __future__ import annotations

import pytest

from rolerunner.model import Failure, StepResult, StepStatus
from rolerunner.observers.telemetry.totals import (
    count_bytes,
    count_objects,
    is_refused,
    moves_objects,
    name_without_item,
)


def test_numbers_of_items_are_added_up() -> None:
    result = StepResult("a", "s3.copy", "", "succeeded", outputs={"count": [1, 2], "bytes": 7})
    assert (count_objects(result), count_bytes(result)) == (3, 7)
    assert count_bytes(StepResult("a", "s3.copy", "", "failed")) == 0


@pytest.mark.parametrize(("action", "expected"), [("s3.copy", True), ("s3.list", False)])
def test_listed_objects_are_not_moved(action: str, expected: bool) -> None:
    assert moves_objects(StepResult("a", action, "", "succeeded")) is expected


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("failed", "AccessDenied", True),
        ("failed", "Timeout", False),
        ("not_run", "RoleRefused", False),
    ],
)
def test_refusals_are_of_steps_that_ran(
    status: StepStatus,
    error: str,
    expected: bool,
) -> None:
    result = StepResult("a", "s3.copy", "", status, error=Failure(error, "no"))
    assert is_refused(result) is expected


def test_a_step_of_a_group_is_named_for_all_items() -> None:
    assert name_without_item("partners[north].fetch") == "partners.fetch"
    assert name_without_item("find") == "find"
