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


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError"])
def test_a_role_of_another_partition_is_no_question_of_policies(code: str) -> None:
    role = Role("arn:aws-cn:iam::444455556666:role/reader", "reader")
    hint = explain_role_refusal(role, denied("no", code, request_id="r-1"), Caller(JOB)).hint
    assert f"requested by {JOB}, which is in the partition aws" in hint
    assert "cannot be assumed across partitions" in hint
    assert "credentials of an account in aws-cn" in hint
    assert "r-1" in hint
    assert '"Effect"' not in hint


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
            (
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed "
                "by role chaining"
            ),
            "3600",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "MaxSessionDuration",
        ),
        ("RegionDisabledException", "STS is not activated in this region", "ask an administrator"),
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
        + " with an explicit deny in a service control policy. Encoded authorization failure "
        "message: abcdef"
    )
    hint = explain_role_refusal(Role(ARN), denied(message, request_id="r-1"), Caller(JOB)).hint
    assert "explicit deny in the service control policy" in hint
    assert "decode-authorization-message --encoded-message abcdef" in hint
    assert "request id r-1" in hint


def hint_of(role: Role, caller: Caller, message: str = "Access Denied") -> str:
    return explain_role_refusal(role, denied(message), caller).hint


def test_the_caller_that_sts_names_is_the_one_that_asked() -> None:
    """In a chain, STS names the session of the role before, not the job."""
    hub = Caller(
        "arn:aws:sts::222233334444:assumed-role/hub/s", "arn:aws:iam::222233334444:role/hub"
    )
    refusal = explain_role_refusal(Role(ARN), denied(), hub)
    assert refusal.asked_by == JOB
    assert f"requested by {JOB};" in refusal.hint
    assert "arn:aws:iam::222233334444:role/hub" not in refusal.hint


def test_a_caller_that_sts_confirms_keeps_the_path_of_its_role() -> None:
    full = "arn:aws:iam::111122223333:role/service-role/job"
    hint = hint_of(Role(ARN), Caller(JOB, full), DENIED)
    assert f'"Principal": {{"AWS": "{full}"}}' in hint
    assert "leaves out the role's path" not in hint


def test_a_caller_without_a_path_is_told_so() -> None:
    assert "an assumed-role ARN leaves out the role's path" in hint_of(Role(ARN), Caller(JOB))
    user = Caller("arn:aws:iam::111122223333:user/ada")
    hint = hint_of(Role(ARN), user)
    assert "leaves out the role's path" not in hint
    assert '"Principal": {"AWS": "arn:aws:iam::111122223333:user/ada"}' in hint


def test_a_caller_that_is_not_known_has_a_placeholder() -> None:
    hint = hint_of(Role(ARN), Caller())
    assert hint.startswith("requested by the job (its identity is not known);")
    assert '"Principal": {"AWS": "<the ARN of the job\'s role>"}' in hint
    assert "within one account either can be enough; across accounts both are needed." in hint


def test_accounts_that_differ_need_both_statements() -> None:
    here = Caller("arn:aws:iam::444455556666:user/ada")
    assert "both are in account 444455556666: 2 is enough" in hint_of(Role(ARN), here)
    there = "the accounts differ (111122223333 and 444455556666): both are needed."
    assert there in hint_of(Role(ARN), Caller(JOB))


def test_an_external_id_may_be_wrong_or_missing() -> None:
    wrong = hint_of(Role(ARN, external_id="x"), Caller(JOB))
    assert "a wrong external id gives the same error." in wrong
    assert "missing external id" not in wrong
    assert "a missing external id gives the same error" in hint_of(Role(ARN), Caller(JOB))


def test_tags_without_an_external_id_need_one_statement() -> None:
    role = Role(ARN, tags=(("a", "b"),))
    (statement,) = build_trust_statements(role, Caller(JOB))
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert "ArnLike" in statement["Condition"]


def test_an_external_id_and_an_account_are_both_conditions() -> None:
    (only,) = build_trust_statements(Role(ARN, external_id="x"), Caller(JOB))
    assert set(only["Condition"]) == {"ArnLike", "StringEquals"}
    tagged = Role(ARN, external_id="x", tags=(("a", "b"),))
    first, second = build_trust_statements(tagged, Caller(JOB))
    assert set(first["Condition"]) == {"ArnLike", "StringEquals"}
    assert set(second["Condition"]) == {"ArnLike"}
    assert second["Action"] == "sts:TagSession"


def test_a_refusal_without_words_has_its_code() -> None:
    refusal = explain_role_refusal(Role(ARN, "reader"), denied(""), Caller(JOB))
    assert refusal.message == "the role 'reader' could not be assumed: AccessDenied"
    assert (refusal.type, refusal.role, refusal.asked_by) == ("RoleRefused", "reader", JOB)


def test_expired_credentials_are_those_of_the_caller() -> None:
    expired = denied("expired", "ExpiredToken")
    for caller, owner in ((Caller(JOB), JOB), (Caller(), "the job")):
        assert explain_role_refusal(Role(ARN), expired, caller).hint == (
            f"the credentials of {owner} have expired, and no newer ones were found"
        )
