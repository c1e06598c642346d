"""The permissions that the fields of actions need."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner.actions.permissions import (
    list_permission,
    object_permission,
    prefix_permission,
    source_permissions,
)
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, placeholder_list

POINT = "arn:aws:s3:eu-west-1:111122223333:accesspoint/p"
GET, GET_VERSION = "s3:GetObject", "s3:GetObjectVersion"


def test_a_listing_is_limited_to_its_prefix() -> None:
    assert list_permission(S3Uri("box", "in/")) == Permission(
        "s3:ListBucket", "arn:aws:s3:::box", (("StringLike", "s3:prefix", ("in/", "in/*")),)
    )
    assert list_permission(S3Uri("box"), "s3:ListBucketVersions") == Permission(
        "s3:ListBucketVersions", "arn:aws:s3:::box"
    )
    assert list_permission(S3Uri(POINT)).resource == POINT


@pytest.mark.parametrize(
    ("uri", "resource"),
    [
        (S3Uri("box", "in/a"), "arn:aws:s3:::box/in/a"),
        (S3Uri("box", "in/"), "arn:aws:s3:::box/in/*"),
        (S3Uri("box"), "arn:aws:s3:::box/*"),
        (S3Uri(POINT, "a"), f"{POINT}/object/a"),
    ],
)
def test_objects_are_one_or_all_under_a_prefix(uri: S3Uri, resource: str) -> None:
    made = object_permission(GET, uri, "why")
    assert (made.action, made.resource, made.condition, made.reason) == (GET, resource, (), "why")


@pytest.mark.parametrize(
    ("key", "end"), [("in/", "in/*"), ("in/a", "in/a*"), ("", "*"), ("in/a*", "in/a**")]
)
def test_keys_that_begin_with_a_text(key: str, end: str) -> None:
    assert prefix_permission(GET, S3Uri("box", key)).resource == f"arn:aws:s3:::box/{end}"


def test_a_prefix_is_read_without_versions_and_an_object_with_both() -> None:
    assert source_permissions(GET, S3Uri("box", "in/"), None) == [
        Permission(GET, "arn:aws:s3:::box/in/*")
    ]
    assert source_permissions(GET, S3Uri("box", "in/a"), None) == [
        Permission(GET, "arn:aws:s3:::box/in/a"),
        Permission(GET_VERSION, "arn:aws:s3:::box/in/a"),
    ]
    assert source_permissions("s3:PutObject", S3Uri("box", "a"), None) == [
        Permission("s3:PutObject", "arn:aws:s3:::box/a")
    ]


def test_named_objects_each_have_their_own() -> None:
    found = source_permissions(GET, None, [S3Uri("box", "a"), S3Uri("other", "b")])
    assert [(each.action, each.resource) for each in found] == [
        (GET, "arn:aws:s3:::box/a"),
        (GET_VERSION, "arn:aws:s3:::box/a"),
        (GET, "arn:aws:s3:::other/b"),
        (GET_VERSION, "arn:aws:s3:::other/b"),
    ]
    assert source_permissions(GET, None, []) == []
    assert source_permissions(GET, None, None) == []


@pytest.mark.parametrize(
    ("versions", "actions"),
    [(False, [GET]), (True, [GET_VERSION]), (None, [GET, GET_VERSION])],
)
def test_listed_objects_are_those_under_the_lists_prefix(
    versions: bool | None, actions: list[str]
) -> None:
    found = source_permissions(GET, None, placeholder_list(S3Uri("box", "in/"), versions=versions))
    assert [each.action for each in found] == actions
    assert {each.resource for each in found} == {"arn:aws:s3:::box/in/*"}


def test_a_list_that_stands_for_any_has_none() -> None:
    assert source_permissions(GET, None, EMPTY_LIST) == []
    listed = ObjectList(Path("list.jsonl"), S3Uri("box", "in/x"), 0, 0)
    assert [each.resource for each in source_permissions(GET, None, listed)] == [
        "arn:aws:s3:::box/in/x*"
    ]
