"""Tests how the emulator's records become requests."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.sandbox.requests import parse_operation, parse_records


def record(**values: Any) -> dict[str, Any]:
    """A record of a plain GET, with other values."""
    return {
        "key": "AKIA", "region": "eu-west-1", "service": "s3", "method": "GET",
        "path": "/bucket/a/b",
        "query": {}, "target": "", "copies": False, "form": {}, "error": "", "issued": None,
        **values,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "operation"),
    [
        ({}, "GetObject"),
        ({"method": "PUT"}, "PutObject"),
        ({"method": "PUT", "copies": True}, "CopyObject"),
        ({"method": "PUT", "query": {"partNumber": "1"}}, "UploadPart"),
        ({"method": "PUT", "query": {"partNumber": "1"}, "copies": True}, "UploadPartCopy"),
        ({"path": "/bucket", "query": {"list-type": "2"}}, "ListObjectsV2"),
        ({"path": "/"}, "ListBuckets"),
        ({"method": "PATCH"}, "PATCH"),
        ({"service": "sts", "form": {"Action": "AssumeRole"}}, "AssumeRole"),
        ({"service": "glue", "target": "AWSGlue.GetJob"}, "GetJob"),
        ({"service": "x", "path": "/y"}, "GET /y"),
    ],
)
def test_operation(values: dict[str, Any], operation: str) -> None:
    assert parse_operation(record(**values))[0] == operation


def test_the_caller_of_a_session_key_is_the_session() -> None:
    arn = "arn:aws:sts::111122223333:assumed-role/r/s"
    admin, session = parse_records(
        [
            record(key="111122223333", issued=["ASIA", arn]),
            record(key="ASIA", error="AccessDenied"),
        ]
    )
    assert (admin.is_admin, admin.is_refused) == (True, False)
    assert (session.caller, session.is_refused, session.is_admin) == (arn, True, False)
    assert session.parameters == {"Bucket": "bucket", "Key": "a/b"}
