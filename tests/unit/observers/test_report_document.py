"""Result files as the report reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.observers.report_document import ReportedStep, ResultDocument


def step(**more: Any) -> ReportedStep:
    return ReportedStep.model_validate(
        {"id": "a", "action": "s3.copy", "status": "succeeded", **more}
    )


def test_a_step_ends_after_its_seconds() -> None:
    assert step(start=1.5, seconds=2).end == 3.5
    assert step(seconds=2).end == 2


@pytest.mark.parametrize(
    ("action", "outputs", "moved"),
    [
        ("s3.copy", {"bytes": 5}, 5),
        ("s3.copy", {"bytes": [1, 2, "x"]}, 3),
        ("s3.copy", {}, 0),
        ("s3.copy", {"bytes": "many"}, 0),
        ("s3.list", {"bytes": 5}, 0),
        ("s3.delete", {"bytes": 5}, 0),
        ("of.another.package", {"bytes": 5}, 5),
    ],
)
def test_bytes_are_counted_where_the_action_moves_them(
    action: str, outputs: dict[str, Any], moved: float
) -> None:
    assert step(action=action, outputs=outputs).bytes_moved == moved


def test_fields_of_later_versions_are_ignored_and_another_version_is_not() -> None:
    values: dict[str, Any] = {
        "version": 1, "run_id": "r", "job": "j", "status": "succeeded", "started": "",
        "seconds": 1, "roles": [], "steps": [], "later": {},
    }  # fmt: skip
    assert ResultDocument.model_validate(values).error is None
    with pytest.raises(ValidationError):
        ResultDocument.model_validate({**values, "version": 2})
    with pytest.raises(ValidationError):
        ResultDocument.model_validate({**values, "steps": [{"id": "a"}]})
