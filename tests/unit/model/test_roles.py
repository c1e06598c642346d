"""Roles are compared by their settings, not by their aliases."""

from __future__ import annotations

import pytest

from rolerunner.model import JOB, Role

ARN = "arn:aws:iam::111122223333:role/loader"


def test_aliases_of_one_role_share_a_session() -> None:
    assert Role(ARN, "one") == Role(ARN, "other")
    assert Role(ARN) != Role(ARN, external_id="x")
    assert len({Role(ARN, "one"), Role(ARN, "other"), Role(ARN, duration=900)}) == 2


@pytest.mark.parametrize(
    ("role", "text", "is_job", "is_plain"),
    [
        (JOB, "job", True, True),
        (Role(""), "job", True, True),
        (Role(ARN), ARN, False, True),
        (Role(ARN, "loader", external_id="x"), "loader", False, True),
        (Role(ARN, via=JOB), ARN, False, False),
        (Role(ARN, tags=(("team", "a"),)), ARN, False, False),
    ],
)
def test_a_role_knows_its_kind(role: Role, text: str, is_job: bool, is_plain: bool) -> None:
    assert (str(role), role.is_job, role.is_plain) == (text, is_job, is_plain)
