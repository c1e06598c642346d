import json

import pytest

from rolerunner.errors import RoleRefused
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
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


def denied(message=DENIED, code="AccessDenied", operation="AssumeRole", **more):
    return AwsError(code, message, operation, **more)


def test_without_the_callers_path_the_account_is_the_principal():
    (statement,) = build_trust_statements(Role(ARN), Caller(JOB))
    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    patterns = ["arn:aws:iam::111122223333:role/job", "arn:aws:iam::111122223333:role/*/job"]
    assert statement["Condition"] == {"ArnLike": {"aws:PrincipalArn": patterns}}


def test_with_the_callers_full_arn_that_is_the_principal():
    full = "arn:aws:iam::111122223333:role/service-role/job"
    assert build_trust_statements(Role(ARN), Caller(JOB, full)) == [
        {"Effect": "Allow", "Principal": {"AWS": full}, "Action": "sts:AssumeRole"}
    ]


def test_tags_source_identity_and_external_id_are_in_both_halves():
    role = Role(ARN, external_id="x", tags=(("a", "b"),), source_identity="me")
    assert build_caller_statement(role)["Action"] == [
        "sts:AssumeRole",
        "sts:TagSession",
        "sts:SetSourceIdentity",
    ]
    first, second = build_trust_statements(role, Caller(JOB, "arn:aws:iam::111122223333:role/job"))
    assert first["Condition"] == {"StringEquals": {"sts:ExternalId": "x"}}
    assert second["Action"] == ["sts:TagSession", "sts:SetSourceIdentity"]


def test_both_statements_are_json_ready_to_paste():
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
def test_what_sts_says_is_explained(code, message, expected):
    refusal = explain_role_refusal(Role(ARN), denied(message, code), Caller(JOB))
    assert expected in refusal.hint
    assert refusal.type == code


def test_an_explicit_deny_and_ids_are_told():
    message = (
        DENIED
        + " with an explicit deny in a service control policy. Encoded authorization failure message: abcdef"
    )
    hint = explain_role_refusal(Role(ARN), denied(message, request_id="r-1"), Caller(JOB)).hint
    assert "explicit deny in the service control policy" in hint
    assert "decode-authorization-message --encoded-message abcdef" in hint
    assert "request id r-1" in hint


def test_a_listing_names_the_bucket_and_the_prefix_in_the_roles_partition():
    role = Role("arn:aws-cn:iam::444455556666:role/reader", "reader")
    error = explain_error(
        AwsError("AccessDenied", "Access Denied", "ListObjectsV2", status=403),
        role,
        bucket="b",
        key="in/",
    )
    assert (
        '"Resource": "arn:aws-cn:s3:::b", "Condition": {"StringLike": {"s3:prefix": ["in/", "in/*"]}}'
        in error.hint
    )


def test_a_key_of_kms_is_named_and_not_the_object():
    key = "arn:aws:kms:eu-west-1:444455556666:key/1"
    message = f"User: {JOB} is not authorized to perform: kms:GenerateDataKey on resource: {key} because no identity-based policy allows it"
    error = explain_error(
        AwsError("AccessDenied", message, "PutObject", status=403), Role(ARN), bucket="b", key="k"
    )
    assert f'"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "{key}"' in error.hint
    assert "s3.eu-west-1.amazonaws.com" in error.hint


def test_a_role_refused_to_the_users_own_code_is_the_role_not_the_service():
    assert isinstance(explain_error(denied(), Role(ARN)), RoleRefused)


@pytest.mark.parametrize(
    ("operation", "action", "resource"),
    [
        ("HeadObject", "s3:GetObject", "arn:aws-cn:s3:::bucket/in/a"),
        ("UploadPart", "s3:PutObject", "arn:aws-cn:s3:::bucket/in/a"),
        ("DeleteObjects", "s3:DeleteObject", "arn:aws-cn:s3:::bucket/in/a"),
        ("ListObjectsV2", "s3:ListBucket", "arn:aws-cn:s3:::bucket"),
        ("GetBucketEncryption", "s3:GetEncryptionConfiguration", "arn:aws-cn:s3:::bucket"),
        ("ListBuckets", "s3:ListAllMyBuckets", "*"),
    ],
)
def test_a_refusal_names_the_statement_of_the_table(operation, action, resource):
    role = Role("arn:aws-cn:iam::111122223333:role/r", name="r")
    failed = explain_error(
        AwsError("403", "Forbidden", operation, status=403), role, bucket="bucket", key="in/a"
    )
    line = next(line for line in failed.hint.splitlines() if "may lack" in line)
    statement = json.loads(line[line.index("{") :])
    assert (statement["Action"], statement["Resource"]) == (action, resource)
    if action == "s3:ListBucket":
        assert statement["Condition"] == {"StringLike": {"s3:prefix": ["in/a", "in/a*"]}}


def test_in_a_narrowed_session_its_policy_may_be_the_reason():
    refused = AwsError("AccessDenied", "Access Denied", "GetObject", status=403)
    narrowed, plain = (
        explain_error(refused, Role(ARN, policy=policy), bucket="bucket", key="a").hint
        for policy in ('{"Statement": []}', "")
    )
    assert "(session_policy), which must allow it too" in narrowed
    assert "session_policy" not in plain
