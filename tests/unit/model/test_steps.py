"""A step names its roles, and those of the steps inside it."""

from __future__ import annotations

import pytest

from rolerunner.model import Role, RoleChoice, Step

READER, WRITER = Role("arn:reader", "reader"), Role("arn:writer", "writer")


@pytest.mark.parametrize(
    ("target", "expected"), [("a", {}), ("b", {"source_role": "a", "target_role": "b"})]
)
def test_different_roles_of_a_step_are_named_by_their_fields(
    target: str, expected: dict[str, str]
) -> None:
    roles = {"target_role": Role(f"arn:{target}", target), "source_role": Role("arn:a", "a")}
    assert Step("it", "s3.copy", {}, roles).several_roles == expected


def test_a_step_whose_items_choose_names_all_roles() -> None:
    choice = RoleChoice("${{ item.role }}", {"reader": READER, "writer": WRITER})
    step = Step("it", "s3.copy", {}, role_choices={"role": choice})
    assert (step.role, step.role_name) == (None, "reader, writer")
    group = Step("group", "group", {}, steps=(step, Step("other", "s3.list", {}, {"role": READER})))
    assert group.all_roles == (READER, WRITER, READER)
