"""Which IAM permission each S3 call needs (S3 user guide; Service Authorization Reference)."""

from __future__ import annotations

from rolerunner.model import Permission, S3Uri


def bucket_arn(uri: S3Uri, partition: str = "aws") -> str:
    """The ARN of the bucket or access point."""
    return uri.bucket if uri.bucket.startswith("arn:") else f"arn:{partition}:s3:::{uri.bucket}"


def object_arn(uri: S3Uri, partition: str = "aws") -> str:
    """The ARN of the object, or of all under the prefix."""
    separator = "/object/" if uri.bucket.startswith("arn:") else "/"
    return f"{bucket_arn(uri, partition)}{separator}{uri.key}{'*' if uri.is_prefix else ''}"


def listing(uri: S3Uri) -> Permission:
    """ListObjectsV2 under a prefix. A missing key is checked with the key itself as the prefix, hence both forms."""
    prefixes = tuple(dict.fromkeys((uri.key, f"{uri.key}*"))) if uri.key else ()
    condition = (("StringLike", "s3:prefix", prefixes),) if prefixes else ()
    return Permission("s3:ListBucket", bucket_arn(uri), condition)


def on_objects(action: str, uri: S3Uri, reason: str = "") -> Permission:
    """An action on an object or on all under a prefix."""
    return Permission(action, object_arn(uri), reason=reason)
