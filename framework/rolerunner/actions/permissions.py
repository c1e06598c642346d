"""Which IAM permission each S3 call needs (S3 user guide; Service Authorization Reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.model import Permission, S3Uri
from rolerunner.storage.manifest import EMPTY_LIST, ObjectList

if TYPE_CHECKING:
    from collections.abc import Sequence


def bucket_arn(uri: S3Uri, partition: str = "aws") -> str:
    """The ARN of the bucket or access point."""
    return uri.bucket if uri.bucket.startswith("arn:") else f"arn:{partition}:s3:::{uri.bucket}"


def object_arn(uri: S3Uri, partition: str = "aws") -> str:
    """The ARN of the object, or of all under the prefix."""
    separator = "/object/" if uri.bucket.startswith("arn:") else "/"
    return f"{bucket_arn(uri, partition)}{separator}{uri.key}{'*' if uri.is_prefix else ''}"


def listing(uri: S3Uri, action: str = "s3:ListBucket") -> Permission:
    """ListObjectsV2 under a prefix. A missing key is checked with the key itself as the prefix, hence both forms."""
    prefixes = tuple(dict.fromkeys((uri.key, f"{uri.key}*"))) if uri.key else ()
    condition = (("StringLike", "s3:prefix", prefixes),) if prefixes else ()
    return Permission(action, bucket_arn(uri), condition)


def on_objects(action: str, uri: S3Uri, reason: str = "") -> Permission:
    """An action on an object or on all under a prefix."""
    return Permission(action, object_arn(uri), reason=reason)


def on_beginning(action: str, uri: S3Uri) -> Permission:
    """An action on all keys that begin with the URI's, a folder or not."""
    return Permission(action, object_arn(uri) if uri.is_prefix else f"{object_arn(uri)}*")


def on_source(action: str, source: S3Uri | None, objects: ObjectList | Sequence[S3Uri] | None) -> list[Permission]:
    """An action on what a step reads or deletes: an object, a prefix, or listed objects."""
    if source is not None:
        return [on_objects(action, source)]
    if isinstance(objects, ObjectList):
        return [on_beginning(action, objects.prefix)] if objects != EMPTY_LIST else []
    return [on_objects(action, uri) for uri in objects or ()]
