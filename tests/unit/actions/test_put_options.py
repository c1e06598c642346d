"""Fields of stored objects: the parameters and permissions that they become."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.put_options import Encryption, PutFields
from rolerunner.model import S3Uri

KEY = base64.b64encode(b"k" * 32).decode()
TARGET = S3Uri("box", "out/")


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"type": "AES256"}, {"ServerSideEncryption": "AES256"}),
        ({"type": "aws:kms"}, {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}),
        (
            {"type": "aws:kms:dsse", "key": "alias/a", "bucket_key": False},
            {
                "ServerSideEncryption": "aws:kms:dsse",
                "SSEKMSKeyId": "alias/a",
                "BucketKeyEnabled": False,
            },
        ),
        (
            {"type": "SSE-C", "customer_key": KEY},
            {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32},
        ),
    ],
)
def test_encryption_becomes_parameters(fields: dict[str, Any], options: dict[str, Any]) -> None:
    assert PutFields.model_validate({"encryption": fields}).put_options() == options


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "AES256", "key": "alias/a"}, "'key' requires 'type: aws:kms'"),
        (
            {"type": "SSE-C", "customer_key": KEY, "key": "alias/a"},
            "'key' requires 'type: aws:kms'",
        ),
        ({"type": "SSE-C"}, "'type: SSE-C' and 'customer_key' require each other"),
        (
            {"type": "AES256", "customer_key": KEY},
            "'type: SSE-C' and 'customer_key' require each other",
        ),
    ],
)
def test_keys_fit_the_type(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Encryption.model_validate(fields)


def test_fields_become_parameters_of_putobject() -> None:
    assert PutFields().put_options() == {}
    fields = PutFields.model_validate(
        {
            "acl": "private",
            "storage_class": "GLACIER",
            "content_type": "text/csv",
            "cache_control": "no-store",
            "metadata": {"run": "1"},
            "tags": {"a b": "c+d", "e": ""},
            "checksum": "SHA256",
        }
    )
    assert fields.put_options() == {
        "ACL": "private",
        "StorageClass": "GLACIER",
        "ContentType": "text/csv",
        "CacheControl": "no-store",
        "Metadata": {"run": "1"},
        "Tagging": "a%20b=c%2Bd&e=",
        "ChecksumAlgorithm": "SHA256",
    }
    assert PutFields(tags={}, metadata={}).put_options() == {"Tagging": "", "Metadata": {}}


def actions(fields: dict[str, Any], **more: bool) -> list[str]:
    made = PutFields.model_validate(fields).put_permissions(TARGET, **more)
    assert {each.resource for each in made if each.action.startswith("s3:")} == {
        "arn:aws:s3:::box/out/*"
    }
    return [each.action for each in made]


PUT, ABORT, TAGS = "s3:PutObject", "s3:AbortMultipartUpload", "s3:PutObjectTagging"
ANNOTATIONS = "s3:PutObjectAnnotation"


@pytest.mark.parametrize(
    ("fields", "more", "needed"),
    [
        ({}, {}, [PUT, ABORT]),
        ({}, {"multipart": False}, [PUT]),
        ({"acl": "private"}, {}, [PUT, "s3:PutObjectAcl", ABORT]),
        ({"tags": {"a": "b"}}, {}, [PUT, TAGS, ABORT]),
        ({"tags": {}}, {}, [PUT, ABORT]),
        ({}, {"copied": True}, [PUT, TAGS, ANNOTATIONS, ABORT]),
        ({"tags": {}}, {"copied": True}, [PUT, ANNOTATIONS, ABORT]),
        ({"tags": {"a": "b"}}, {"copied": True}, [PUT, TAGS, ANNOTATIONS, ABORT]),
        (
            {"encryption": {"type": "aws:kms", "key": "alias/a"}},
            {},
            [PUT, ABORT, "kms:GenerateDataKey", "kms:Decrypt"],
        ),
        ({"encryption": {"type": "AES256"}}, {}, [PUT, ABORT]),
    ],
)
def test_each_field_needs_its_permission(
    fields: dict[str, Any], more: dict[str, bool], needed: list[str]
) -> None:
    assert actions(fields, **more) == needed
