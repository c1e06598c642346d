from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.errors import RoleRefused
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
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


def test_a_listing_names_the_bucket_and_the_prefix_in_the_roles_partition() -> None:
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


def test_a_key_of_kms_is_named_and_not_the_object() -> None:
    key = "arn:aws:kms:eu-west-1:444455556666:key/1"
    message = f"User: {JOB} is not authorized to perform: kms:GenerateDataKey on resource: {key} because no identity-based policy allows it"
    error = explain_error(
        AwsError("AccessDenied", message, "PutObject", status=403), Role(ARN), bucket="b", key="k"
    )
    assert f'"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "{key}"' in error.hint
    assert "s3.eu-west-1.amazonaws.com" in error.hint


def test_a_role_refused_to_the_users_own_code_is_the_role_not_the_service() -> None:
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
def test_a_refusal_names_the_statement_of_the_table(
    operation: str, action: str, resource: str
) -> None:
    role = Role("arn:aws-cn:iam::111122223333:role/r", name="r")
    failed = explain_error(
        AwsError("403", "Forbidden", operation, status=403), role, bucket="bucket", key="in/a"
    )
    line = next(line for line in failed.hint.splitlines() if "may lack" in line)
    statement = json.loads(line[line.index("{") :])
    assert (statement["Action"], statement["Resource"]) == (action, resource)
    if action == "s3:ListBucket":
        assert statement["Condition"] == {"StringLike": {"s3:prefix": ["in/a", "in/a*"]}}


def test_in_a_narrowed_session_its_policy_may_be_the_reason() -> None:
    refused = AwsError("AccessDenied", "Access Denied", "GetObject", status=403)
    narrowed, plain = (
        explain_error(refused, Role(ARN, policy=policy), bucket="bucket", key="a").hint
        for policy in ('{"Statement": []}', "")
    )
    assert "(session_policy), which must allow it too" in narrowed
    assert "session_policy" not in plain
