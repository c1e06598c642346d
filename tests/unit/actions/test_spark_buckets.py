"""Errors of S3A as refusals of the role that a step gives for the bucket."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rolerunner.actions.s3a import Connection
from rolerunner.actions.spark_buckets import OpenBucket, OpenBuckets
from rolerunner.errors import RoleRefused, StepError
from rolerunner.model import Role, S3Uri
from rolerunner.spark.sql import QueryFailed

READER = Role("arn:aws:iam::111122223333:role/reader", name="reader")
WRITER = Role("arn:aws:iam::111122223333:role/writer", name="writer")


def open_bucket(role: Role, scheme: str) -> OpenBucket:
    return OpenBucket(role, Connection("landing", scheme, "eu-west-1"), {"a": "b"})


OPENED = OpenBuckets(
    {
        (READER, "landing"): open_bucket(READER, "s3a-01"),
        (WRITER, "landing"): open_bucket(WRITER, "s3a-02"),
    },
    {"s3a-01": {}, "s3a-02": {"fs.s3a.committer.name": "magic"}},
)


def test_two_roles_access_one_bucket_under_schemes_of_their_own() -> None:
    place = S3Uri("landing", "in/")
    assert OPENED.locate(READER, place) == ("s3a-01://landing/in/", {"a": "b"})
    assert OPENED.locate(WRITER, place)[0] == "s3a-02://landing/in/"
    assert OPENED.find_committer(WRITER, place) == {"fs.s3a.committer.name": "magic"}
    assert OPENED.locate(WRITER, "orders/") == ("orders/", {})
    assert OPENED.find_committer(WRITER, "orders/") == {}


SDK1 = (
    "com.amazonaws.services.s3.model.AmazonS3Exception: Access Denied "
    "(Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; Request ID: R)"
)
SDK2 = (
    "software.amazon.awssdk.services.s3.model.S3Exception: {} "
    "(Service: S3, Status Code: 403, Request ID: R)"
)
NAMED = (
    "User: arn:aws:sts::111122223333:assumed-role/reader/s is not authorized to perform: "
    's3:PutObject on resource: "arn:aws:s3:::landing/in/part-0" because no identity-based '
    "policy allows the s3:PutObject action"
)


@pytest.mark.parametrize(
    ("said", "action", "resource"),
    [
        (
            (
                "AccessDeniedException: s3a://landing/in/a: getFileStatus on s3a://landing/in/a: "
                f"{SDK1}"
            ),
            "s3:GetObject",
            "landing/in/a",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/a: reopen at position 0 on "
                f"s3a://landing/in/a: {SDK1}"
            ),
            "s3:GetObject",
            "landing/in/a",
        ),
        (
            f"AccessDeniedException: s3a://landing/in/: listing on s3a://landing/in/: {SDK1}",
            "s3:ListBucket",
            "landing",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: PUT 0-byte object  on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: Writing Object on s3a://landing/in/x: "
                f"{SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: initiate MultiPartUpload on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: upload part #1 upload ID on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: Aborting multipart upload on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:AbortMultipartUpload",
            "landing/in/x",
        ),
        (
            f"AccessDeniedException: s3a://landing/in/x: delete on s3a://landing/in/x: {SDK1}",
            "s3:DeleteObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/part-0: Writing Object on "
                f"s3a://landing/in/part-0: {SDK2.format(NAMED)}"
            ),
            "s3:PutObject",
            "landing/in/part-0",
        ),
    ],
)
def test_a_refusal_of_s3a_names_the_action(said: str, action: str, resource: str) -> None:
    said = said.replace("s3a:", "s3a-01:")
    text = f"An error occurred while calling o1.load.: java.nio.file.{said}"
    failed = OPENED.explain(QueryFailed("no", text=text))
    assert failed.type == "AccessDenied"
    assert f"the role 'reader' may not {action} on arn:aws:s3:::{resource}" in failed.message
    assert f'"Action": "{action}", "Resource": "arn:aws:s3:::{resource}"' in failed.hint


def test_a_refusal_of_s3a_that_tells_nothing_claims_nothing() -> None:
    text = "AccessDeniedException: s3a-02://landing/in/a: Status Code: 403"
    failed = OPENED.explain(QueryFailed("no", text=text))
    assert failed.message == "the role 'writer' was refused: AccessDenied"
    assert "may lack" not in failed.hint


def test_a_role_that_s3a_could_not_assume_is_named() -> None:
    text = "s3a-02://landing: not authorized to perform: sts:AssumeRole; Status Code: 403"
    failed = OPENED.explain(QueryFailed("no", text=text))
    assert isinstance(failed, RoleRefused)
    assert "the role 'writer' could not be assumed" in failed.message


def test_an_error_that_is_no_refusal_stays() -> None:
    failed = QueryFailed("no", text="[TABLE_OR_VIEW_NOT_FOUND] s3a-02://landing/in/")
    assert OPENED.explain(failed) is failed


def test_a_session_that_was_not_lent_is_the_reason() -> None:
    reason = StepError("no session")
    lent = SimpleNamespace(refusal=reason)
    bucket = OpenBucket(READER, Connection("landing", "s3a-01", "eu-west-1"), {}, lent)  # type: ignore[arg-type]
    opened = OpenBuckets({(READER, "landing"): bucket}, {})
    assert opened.explain(QueryFailed("no", text="AccessDenied")) is reason
