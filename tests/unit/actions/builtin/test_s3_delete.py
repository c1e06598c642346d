"""``s3.delete``: fields that would delete too much, and the permissions of each way to name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_delete import S3Delete


def create(**fields: Any) -> S3Delete:
    return S3Delete.model_validate({"source": "s3://box/in/", "max_delete": 9, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": None}, "'source' or 'objects'"),
        ({"source": "s3://box/"}, "is a whole bucket; set 'allow_all: true'"),
        ({"max_delete": None}, "max_delete"),
        (
            {"source": None, "objects": ["s3://box/a"], "versions": True},
            "'versions' applies to 'source' only",
        ),
        ({"backup_suffix": ".old"}, "'backup_suffix' needs 'backup' here"),
        (
            {"source": "s3://box/a", "version": "v", "max_delete_size": "1GB"},
            "'max_delete_size' does not go with 'version'",
        ),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


def test_a_whole_bucket_has_to_be_meant() -> None:
    assert create(source="s3://box/", allow_all=True).allow_all is True


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({}, ["s3:ListBucket", "s3:DeleteObject"]),
        ({"versions": True}, ["s3:ListBucketVersions", "s3:DeleteObjectVersion"]),
        ({"source": "s3://box/a"}, ["s3:ListBucket", "s3:GetObject", "s3:DeleteObject"]),
        ({"source": "s3://box/a", "version": "v"}, ["s3:DeleteObjectVersion"]),
        ({"source": None, "objects": ["s3://box/a"]}, ["s3:GetObject", "s3:DeleteObject"]),
    ],
    ids=["prefix", "versions", "object", "version", "list"],
)
def test_permissions(fields: dict[str, Any], actions: list[str]) -> None:
    needed = create(**fields).permissions()["role"]
    assert list(dict.fromkeys(each.action for each in needed)) == actions


def test_a_backup_is_written_before_an_object_is_deleted() -> None:
    needed = create(backup="s3://kept/old/").permissions()["role"]
    written = {each.resource for each in needed if each.action == "s3:PutObject"}
    assert written == {"arn:aws:s3:::kept/old/*"}
