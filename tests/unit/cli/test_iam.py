"""The warnings of ``rolerunner iam``, at the exact quotas of IAM."""

from __future__ import annotations

import pytest

from rolerunner.cli.iam import _print_warnings
from rolerunner.iam.policy import Statement
from rolerunner.iam.policy_text import compact_json
from rolerunner.model import Job, Plan
from rolerunner.policies.least_privilege import RolePolicies

ARN = "arn:aws:iam::111122223333:role/reader"


def create_role(resource: str = "*", principal: str = "*") -> RolePolicies:
    trust = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    statement = Statement(("s3:GetObject",), (resource,))
    return RolePolicies(("reader", "again"), ARN, (statement,), (trust,))


def warn(role: RolePolicies, capsys: pytest.CaptureFixture[str], job_role: str = ARN) -> list[str]:
    _print_warnings(Plan(Job("j", ()), (), ()), [role], job_role)
    return capsys.readouterr().err.splitlines()


def test_an_inline_policy_of_the_quota_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    room = 10_240 - len(compact_json(create_role("").policy()))
    assert warn(create_role("x" * room), capsys) == []
    assert warn(create_role("x" * (room + 1)), capsys) == [
        "rolerunner: reader, again: the inline policy has 10,241 characters; IAM allows 10,240"
    ]


def test_a_trust_policy_of_the_quota_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    room = 2_048 - len(compact_json(create_role(principal="").trust_policy()))
    assert warn(create_role(principal="x" * room), capsys) == []
    assert warn(create_role(principal="x" * (room + 1)), capsys) == [
        "rolerunner: reader, again: the trust policy has 2,049 characters; IAM allows 2,048"
    ]


def test_a_job_role_that_is_not_known_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = warn(create_role(), capsys, job_role="")
    assert line.startswith("rolerunner: the job's own role is unknown")
