"""``s3.tag``: either all tags or changes, and the permissions of each."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_tag import S3Tag


def create(**fields: Any) -> S3Tag:
    return S3Tag.model_validate({"source": "s3://box/in/", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "takes either 'set', or 'add' and 'remove'"),
        ({"set": {}, "add": {"a": "b"}}, "takes either 'set', or 'add' and 'remove'"),
        ({"add": {"a": "b"}, "remove": ["a"]}, "'a' is both in 'add' and in 'remove'"),
        (
            {"source": None, "objects": ["s3://box/a"], "set": {}, "versions": True},
            "'versions' applies to 'source' only",
        ),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


def test_an_empty_mapping_removes_all_tags() -> None:
    assert create(set={}).set == {}


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({"set": {"a": "b"}}, ["s3:ListBucket", "s3:PutObjectTagging"]),
        (
            {"add": {"a": "b"}},
            ["s3:ListBucket", "s3:GetObjectTagging", "s3:PutObjectTagging"],
        ),
        (
            {"set": {}, "versions": True},
            ["s3:ListBucketVersions", "s3:PutObjectVersionTagging"],
        ),
        (
            {"set": {}, "source": None, "objects": ["s3://box/a"]},
            ["s3:GetObject", "s3:PutObjectTagging"],
        ),
    ],
    ids=["set", "add", "versions", "list"],
)
def test_changes_read_the_tags_first(fields: dict[str, Any], actions: list[str]) -> None:
    needed = create(**fields).permissions()["role"]
    assert list(dict.fromkeys(each.action for each in needed)) == actions
