from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.role_denials import (
    Caller,
    build_caller_statement,
    build_trust_statements,
    explain_role_refusal,
)
from rolerunner.model import Role

ARN = "arn:aws:iam::444455556666:role/team/reader"
JOB = "arn:aws:sts::111122223333:assumed-role/job/GlueJobRunnerSession"
DENIED = f"User: {JOB} is not authorized to perform: sts:AssumeRole on resource: {ARN}"


def denied(
    message: str = DENIED,
    code: str = "AccessDenied",
    operation: str = "AssumeRole",
    **fields: Any,
) -> AwsError:
    return AwsError(code, message, operation, **fields)


def test_without_the_callers_path_the_account_is_the_principal() -> None:
    (statement,) = build_trust_statements(Role(ARN), Caller(JOB))
    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    patterns = ["arn:aws:iam::111122223333:role/job", "arn:aws:iam::111122223333:role/*/job"]
    assert statement["Condition"] == {"ArnLike": {"aws:PrincipalArn": patterns}}


def test_with_the_callers_full_arn_that_is_the_principal() -> None:
    full = "arn:aws:iam::111122223333:role/service-role/job"
    assert build_trust_statements(Role(ARN), Caller(JOB, full)) == [
        {"Effect": "Allow", "Principal": {"AWS": full}, "Action": "sts:AssumeRole"}
    ]


def test_tags_source_identity_and_external_id_are_in_both_halves() -> None:
    role = Role(ARN, external_id="x", tags=(("a", "b"),), source_identity="me")
    assert build_caller_statement(role)["Action"] == [
        "sts:AssumeRole",
        "sts:TagSession",
        "sts:SetSourceIdentity",
    ]
    first, second = build_trust_statements(role, Caller(JOB, "arn:aws:iam::111122223333:role/job"))
    assert first["Condition"] == {"StringEquals": {"sts:ExternalId": "x"}}
    assert second["Action"] == ["sts:TagSession", "sts:SetSourceIdentity"]


def test_both_statements_are_json_ready_to_paste() -> None:
    hint = explain_role_refusal(Role(ARN), denied(), Caller(JOB)).hint
    for number in "12":
        line = next(line for line in hint.splitlines() if line.startswith(f"{number}. "))
        assert json.loads(line[line.index("{") :])["Effect"] == "Allow"
    assert "both are needed" in hint
    assert "does not report for certain" in hint


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ExpiredToken", "The security token included in the request is expired", "have expired"),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20260101T000000Z is now earlier than ...",
            "the clocks differ",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            "3600",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "MaxSessionDuration",
        ),
        ("RegionDisabledException", "STS is not activated in this region", "STS is off"),
        ("PackedPolicyTooLarge", "Packed size exceeds", "shorten"),
    ],
)
def test_what_sts_says_is_explained(code: str, message: str, expected: str) -> None:
    refusal = explain_role_refusal(Role(ARN), denied(message, code), Caller(JOB))
    assert expected in refusal.hint
    assert refusal.type == code


def test_an_explicit_deny_and_ids_are_told() -> None:
    message = (
        DENIED
        + " with an explicit deny in a service control policy. Encoded authorization failure message: abcdef"
    )
    hint = explain_role_refusal(Role(ARN), denied(message, request_id="r-1"), Caller(JOB)).hint
    assert "explicit deny in the service control policy" in hint
    assert "decode-authorization-message --encoded-message abcdef" in hint
    assert "request id r-1" in hint
