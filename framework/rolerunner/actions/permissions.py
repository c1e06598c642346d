"""Builds the permissions that the fields of an action need."""

from __future__ import annotations

from typing import Any

from rolerunner.iam.actions_table import (
    VERSIONED_ACTIONS,
    build_bucket_arn,
    build_object_arn,
    build_prefix_condition,
)
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList


def list_permission(uri: S3Uri, action: str = "s3:ListBucket") -> Permission:
    """Returns the permission to list a prefix."""
    return Permission(action, build_bucket_arn(uri), build_prefix_condition(uri.key))


def object_permission(action: str, uri: S3Uri, reason: str = "") -> Permission:
    """Returns the permission for an action on an object, or on all objects under a prefix."""
    return Permission(action, build_object_arn(uri), reason=reason)


def prefix_permission(action: str, uri: S3Uri) -> Permission:
    """Returns the permission for an action on all keys that begin with the URI's key."""
    return Permission(
        action, build_object_arn(uri) if uri.is_prefix else f"{build_object_arn(uri)}*"
    )


def source_permissions(action: str, source: S3Uri | None, objects: Any) -> list[Permission]:
    """An action on what a step reads or deletes: an object, a prefix, or listed objects.

    ``objects`` is an ObjectList, a sequence of URIs, or None.

    An object named by its key is looked up first, and then read by its version, if its bucket
    keeps versions.
    """
    if source is not None and source.is_prefix:
        return [object_permission(action, source)]
    if isinstance(objects, ObjectList):
        return (
            [
                prefix_permission(each, objects.prefix)
                for each in _add_version_actions(action, objects.versions)
            ]
            if objects != EMPTY_LIST
            else []
        )
    named = objects or () if source is None else [source]
    return [
        object_permission(each, uri) for uri in named for each in _add_version_actions(action, None)
    ]


def _add_version_actions(action: str, versions: bool | None) -> tuple[str, ...]:
    """Returns the action on an object, on a version of it, or (None) on both."""
    of_version = VERSIONED_ACTIONS.get(action, action)
    return (
        (action,)
        if versions is False
        else (of_version,)
        if versions
        else tuple(dict.fromkeys((action, of_version)))
    )
