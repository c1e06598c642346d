"""The Terraform configuration of a job's roles."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.iam.policy import Statement
from rolerunner.policies.least_privilege import RolePolicies
from rolerunner.policies.terraform import escape_hcl, render_terraform

HUB = "arn:aws:iam::111122223333:role/team/hub"
READER = "arn:aws:iam::111122223333:role/reader"
GET = Statement(("s3:GetObject",), ("*",), by=("find", "fetch"))


def role(arn: str, *statements: Statement, trusted: str = "*", **more: Any) -> RolePolicies:
    trust = {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
    return RolePolicies(("r",), arn, statements, (trust,), **more)


def render(*roles: tuple[str, RolePolicies], explain: bool = False) -> str:
    return render_terraform("nightly", roles, explain=explain)


def test_a_configuration_has_a_role_and_its_policy() -> None:
    lines = render(("hub", role(HUB, GET))).splitlines()
    count = 'data.aws_caller_identity.current.account_id == "111122223333" ? 1 : 0'
    assert lines[0].startswith("# Roles of the job nightly, ")
    assert lines[1] == 'data "aws_caller_identity" "current" {}'
    assert lines[3:8] == [
        'resource "aws_iam_role" "hub" {',
        f"  count                = {count}",
        '  name                 = "hub"',
        '  path                 = "/team/"',
        "  max_session_duration = 3600",
    ]
    assert lines[8].startswith('  assume_role_policy   = jsonencode({"Version": "2012-10-17",')
    assert lines[9:15] == [
        "}",
        "",
        'resource "aws_iam_role_policy" "hub" {',
        f"  count  = {count}",
        '  name   = "rolerunner-nightly"',
        "  role   = aws_iam_role.hub[0].name",
    ]
    assert '"Action": "s3:GetObject"' in lines[15]
    assert lines[16:] == ["}"]


def test_a_role_without_permissions_has_no_policy() -> None:
    text = render(("reader", role(READER)))
    assert "aws_iam_role_policy" not in text
    assert '  path                 = "/"' in text.splitlines()


@pytest.mark.parametrize(("duration", "expected"), [(900, 3600), (3601, 3601)])
def test_a_session_lasts_an_hour_at_least(duration: int, expected: int) -> None:
    text = render(("r", role(READER, duration=duration)))
    assert f"  max_session_duration = {expected}" in text.splitlines()


def test_a_role_is_created_after_those_that_it_trusts() -> None:
    text = render(("hub", role(HUB)), ("reader", role(READER, trusted=HUB)))
    assert text.count("depends_on") == 1
    assert "  depends_on           = [aws_iam_role.hub]" in text.splitlines()


def test_explanations_are_comments() -> None:
    comment = "# statement 1: for find, fetch"
    assert comment in render(("hub", role(HUB, GET)), explain=True).splitlines()
    assert comment not in render(("hub", role(HUB, GET)))


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("a.b-c", "a_b_c"),
        ("1st", "role_1st"),
        ("a1", "a1"),
        ("_x", "role__x"),
        ("Reader", "Reader"),
    ],
)
def test_a_name_becomes_an_identifier(name: str, identifier: str) -> None:
    assert f'resource "aws_iam_role" "{identifier}" {{' in render((name, role(READER)))


def test_markers_of_hcl_are_escaped() -> None:
    assert escape_hcl("${aws:username} %{x} $x") == "$${aws:username} %%{x} $x"


def test_a_long_policy_is_indented_below_its_attribute() -> None:
    long = Statement(tuple(f"s3:Action{number}" for number in range(20)), ("*",))
    lines = render(("hub", role(HUB, long))).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  policy = "))
    assert lines[at] == "  policy = jsonencode({"
    assert lines[at + 1] == '    "Version": "2012-10-17",'
    assert lines[-2:] == ["  })", "}"]
