"""The results of runs count the steps inside of groups."""

from __future__ import annotations

import pytest

from rolerunner.model import ItemResult, RunResult, StepResult


@pytest.mark.parametrize(
    ("role", "roles", "expected"),
    [("", {}, ()), ("a", {}, ("a",)), ("a", {"source_role": "a", "target_role": "b"}, ("a", "b"))],
)
def test_a_result_names_all_roles_of_its_step(
    role: str, roles: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert StepResult("it", "s3.copy", role, "succeeded", roles=roles).role_names == expected


def test_a_group_counts_as_its_steps_for_each_item() -> None:
    inner = [StepResult(f"group[{item}].copy", "s3.copy", "", "succeeded") for item in "ab"]
    items = tuple(ItemResult(name, "succeeded", (each,)) for name, each in zip("ab", inner))
    alone = StepResult("alone", "s3.list", "", "succeeded")
    group = StepResult("group", "group", "", "succeeded", items=items)
    result = RunResult("id", "job", "succeeded", "", 1.0, (), (alone, group))
    assert result.action_steps == (alone, *inner)
