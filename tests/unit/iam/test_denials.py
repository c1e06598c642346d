from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.errors import AccessDenied, NotFound, RoleRefused, ServiceFailed, StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.model import Permission, Role, S3Uri

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
        '"Resource": "arn:aws-cn:s3:::b", "Condition": {"StringLike": {"s3:prefix": ["in/", '
        '"in/*"]}}' in error.hint
    )


def test_a_key_of_kms_is_named_and_not_the_object() -> None:
    key = "arn:aws:kms:eu-west-1:444455556666:key/1"
    message = (
        f"User: {JOB} is not authorized to perform: kms:GenerateDataKey on resource: {key} "
        "because no identity-based policy allows it"
    )
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


READER = Role("arn:aws:iam::444455556666:role/reader", "reader")
OWNER_NOTE = "if the bucket is in another account, its bucket policy must allow the role too"
MISSING_NOTE = "an object that does not exist gives a role without s3:ListBucket the same error."
COPY_NOTE = "AWS does not report which of them"
KEY_NOTE = "the key's own policy must allow the role"


def explain(
    operation: str, message: str = "Access Denied", code: str = "AccessDenied", **more: Any
) -> StepError:
    fields = {"bucket": "b", "key": "k", **more}
    return explain_error(AwsError(code, message, operation, status=403), READER, **fields)


@pytest.mark.parametrize(
    ("operation", "is_hinted"),
    [("GetObject", True), ("HeadObject", True), ("PutObject", False), ("ListObjectsV2", False)],
)
def test_a_refused_read_may_be_of_a_missing_object(operation: str, is_hinted: bool) -> None:
    assert (MISSING_NOTE in explain(operation).hint) is is_hinted


def test_a_refused_version_may_be_missing_too() -> None:
    failed = explain("GetObject", version="v1")
    assert "s3:GetObjectVersion" in failed.message
    assert MISSING_NOTE in failed.hint


def test_a_refused_tag_of_a_read_is_of_an_object_that_exists() -> None:
    refused = (
        f"User: {JOB} is not authorized to perform: s3:GetObjectTagging on resource: "
        "arn:aws:s3:::b/k"
    )
    assert MISSING_NOTE not in explain("GetObject", refused).hint


def test_a_refused_copy_names_both_of_its_halves() -> None:
    failed = explain("CopyObject", source=S3Uri("from", "a"))
    assert failed.message == (
        "the role 'reader' may not s3:GetObject on arn:aws:s3:::from/a,"
        " or not s3:PutObject on arn:aws:s3:::b/k"
    )
    assert COPY_NOTE in failed.hint
    assert COPY_NOTE not in explain("PutObject").hint


def test_a_copy_whose_half_is_named_has_no_doubt() -> None:
    refused = (
        f"User: {JOB} is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::b/k "
        "because no identity-based policy allows the s3:PutObject action"
    )
    failed = explain("CopyObject", refused, source=S3Uri("from", "a"))
    assert failed.message == (
        "the role 'reader' may not s3:PutObject on arn:aws:s3:::b/k,"
        " because no identity-based policy allows the s3:PutObject action"
    )
    assert COPY_NOTE not in failed.hint


@pytest.mark.parametrize(
    ("operation", "owner", "key"),
    [("GetObject", True, False), ("kms", False, True), ("GetItem", False, False)],
)
def test_other_policies_are_those_of_the_service(operation: str, owner: bool, key: bool) -> None:
    if operation == "kms":
        refused = (
            f"User: {JOB} is not authorized to perform: kms:Decrypt on resource: "
            "arn:aws:kms:eu-west-1:444455556666:key/1"
        )
        hint = explain("GetObject", refused).hint
    elif operation == "GetItem":
        needed = (Permission("dynamodb:GetItem", "*"),)
        hint = explain(operation, bucket="", key="", needed=needed).hint
    else:
        hint = explain(operation).hint
    assert (OWNER_NOTE in hint, KEY_NOTE in hint) == (owner, key)


@pytest.mark.parametrize(
    ("operation", "action", "statement"),
    [
        ("PutObject", "kms:GenerateDataKey", ["kms:GenerateDataKey", "kms:Decrypt"]),
        ("CreateMultipartUpload", "kms:GenerateDataKey", ["kms:GenerateDataKey", "kms:Decrypt"]),
        ("CopyObject", "kms:GenerateDataKey", ["kms:GenerateDataKey", "kms:Decrypt"]),
        ("GetObject", "kms:Decrypt", "kms:Decrypt"),
    ],
)
def test_an_unnamed_key_is_the_objects_own(operation: str, action: str, statement: Any) -> None:
    message = (
        "The ciphertext refers to a customer master key that does not exist, or access is denied"
    )
    failed = explain(operation, message)
    unknown = "<the ARN of the KMS key>"
    assert failed.message == f"the role 'reader' may not {action} on {unknown}"
    line = next(line for line in failed.hint.splitlines() if "may lack" in line)
    assert json.loads(line[line.index("{") :]) == {
        "Effect": "Allow",
        "Action": statement,
        "Resource": unknown,
    }


def test_a_refused_read_of_a_key_names_decrypt_alone() -> None:
    arn = "arn:aws:kms:eu-west-1:444455556666:key/1"
    refused = f"User: {JOB} is not authorized to perform: kms:Decrypt on resource: {arn}"
    failed = explain("GetObject", refused)
    assert failed.message == f"the role 'reader' may not kms:Decrypt on {arn}"
    assert f'"Action": "kms:Decrypt", "Resource": "{arn}"' in failed.hint


def test_another_action_of_the_same_call_is_taken_from_the_message() -> None:
    """AWS may refuse the tags of an upload; the resource is then the call's own."""
    refused = f"User: {JOB} is not authorized to perform: s3:PutObjectTagging"
    assert explain("PutObject", refused).message == (
        "the role 'reader' may not s3:PutObjectTagging on arn:aws:s3:::b/k"
    )
    assert explain("Unheard", refused, bucket="", key="").message.endswith(
        "may not s3:PutObjectTagging on *"
    )


def test_the_resource_is_the_one_that_aws_names() -> None:
    """An access point's object is refused under another ARN than that of the bucket."""
    arn = "arn:aws:s3:eu-west-1:111122223333:accesspoint/a/object/k"
    refused = f"User: {JOB} is not authorized to perform: s3:GetObject on resource: {arn}"
    failed = explain("GetObject", refused)
    assert failed.message == f"the role 'reader' may not s3:GetObject on {arn}"
    assert f'"Resource": "{arn}"' in failed.hint


def test_the_requester_is_the_one_that_aws_names_or_else_the_caller() -> None:
    refused = (
        f"User: {JOB} is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k"
    )
    assert explain("GetObject", refused, caller="me").hint.startswith(f"requested by {JOB}.")
    assert explain("GetObject", caller="me").hint.startswith("requested by me.\n")
    assert "requested by" not in explain("GetObject").hint


def test_an_operation_that_is_not_known_is_told_in_the_words_of_aws() -> None:
    error = AwsError("AccessDenied", "not today", "")
    assert explain_error(error, None).message == "the job was refused: not today"
    assert explain_error(AwsError("AccessDenied", "", ""), None).message == (
        "the job was refused: AccessDenied"
    )


def test_an_operation_outside_of_s3_is_the_action() -> None:
    failed = explain_error(AwsError("AccessDenied", "no", "glue:StartCrawler"), READER)
    assert failed.message == "the role 'reader' may not glue:StartCrawler on *"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, AccessDenied),
        ("Unheard", 403, AccessDenied),
        ("Unheard", 400, ServiceFailed),
        ("InvalidObjectState", 403, ServiceFailed),
        ("ExpiredToken", 403, ServiceFailed),
        ("RequestTimeTooSkewed", 403, ServiceFailed),
    ],
)
def test_a_403_is_a_denial_unless_its_code_says_otherwise(
    code: str, status: int, kind: type[StepError]
) -> None:
    error = AwsError(code, "m", "GetObject", status=status)
    assert type(explain_error(error, READER, bucket="b", key="k")) is kind


def test_a_failure_of_the_service_keeps_its_code_and_place() -> None:
    failed = explain_error(AwsError("InternalError", "", "GetObject"), READER, bucket="b", key="k")
    assert (failed.type, failed.message) == ("InternalError", "GetObject: InternalError (s3://b/k)")
    nameless = explain_error(AwsError("", "broken", "Invoke"), READER)
    assert (nameless.type, nameless.message) == ("ServiceFailed", "Invoke: broken")


def test_a_session_that_expired_twice_is_explained() -> None:
    error = AwsError("ExpiredToken", "expired", "GetObject", status=400)
    assert explain_error(error, READER, bucket="b").hint == (
        "the session of the role 'reader' has expired, and a new one was refused the same way"
    )
    assert "the session of the role 'job'" in explain_error(error, None, bucket="b").hint


def test_a_wrong_clock_is_explained() -> None:
    assert "the clocks differ" in explain("GetObject", code="RequestTimeTooSkewed").hint


@pytest.mark.parametrize(
    ("code", "key", "source", "kind", "message"),
    [
        ("NoSuchKey", "k", None, "NoSuchKey", "there is no object s3://b/k"),
        ("404", "k", None, "NoSuchKey", "there is no object s3://b/k"),
        ("404", "", None, "NoSuchBucket", "there is no bucket 'b'"),
        ("NoSuchBucket", "k", None, "NoSuchBucket", "there is no bucket 'b'"),
        ("NoSuchVersion", "k", None, "NoSuchKey", "there is no such version of s3://b/k"),
        ("NoSuchKey", "k", "s3://from/a", "NoSuchKey", "there is no object s3://from/a"),
        ("404", "k", "s3://from/a", "NoSuchKey", "there is no object s3://b/k"),
        ("NoSuchBucket", "k", "s3://from/a", "NoSuchBucket", "there is no bucket 'b'"),
    ],
)
def test_a_missing_object_is_the_one_that_the_request_reads(
    code: str, key: str, source: Any, kind: str, message: str
) -> None:
    failed = explain_error(
        AwsError(code, "", "CopyObject" if source else "GetObject", status=404),
        READER,
        bucket="b",
        key=key,
        source=S3Uri.parse(source) if source else None,
    )
    assert isinstance(failed, NotFound)
    assert (failed.type, failed.message) == (kind, message)


def test_the_bucket_that_aws_names_is_the_missing_one() -> None:
    error = AwsError("NoSuchBucket", "", "CopyObject", bucket="from")
    assert explain_error(error, READER, bucket="b", key="k").message == "there is no bucket 'from'"


def test_a_role_that_the_users_code_assumes_is_named_by_its_arn() -> None:
    failed = explain_error(denied(), READER, caller=JOB)
    assert isinstance(failed, RoleRefused)
    assert (failed.role, failed.asked_by) == (ARN, JOB)
    assert f'"Resource": "{ARN}"' in failed.hint


@pytest.mark.parametrize("resource", ["", " on resource: arn:aws:s3:::b", f' on resource: "{ARN}"'])
def test_without_a_roles_arn_the_step_is_told_in_the_words_of_sts(resource: str) -> None:
    message = f"User: {JOB} is not authorized to perform: sts:AssumeRole{resource}"
    failed = explain_error(denied(message, "ExpiredToken"), READER, caller="me")
    assert isinstance(failed, RoleRefused)
    assert (failed.role, failed.type) == ("reader", "ExpiredToken")
    assert failed.message == f"AssumeRole: {message}"
    assert failed.hint == "the credentials of me have expired, and no newer ones were found"


def test_an_operation_of_s3_is_known_without_a_bucket() -> None:
    failed = explain_error(AwsError("AccessDenied", "no", "ListBuckets"), READER)
    assert failed.message == "the role 'reader' may not s3:ListAllMyBuckets on *"
