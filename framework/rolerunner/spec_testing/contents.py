"""Reads objects of the sandbox and files of the case's folder after a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rolerunner.model import S3Uri
    from rolerunner.sandbox import Sandbox


@dataclass(frozen=True)
class Content:
    """An object or file, or the names below a prefix or folder."""

    body: bytes = b""
    names: Optional[tuple[str, ...]] = None
    """Names below a prefix or folder; None for one object or file."""
    stored: Mapping[str, Any] = field(default_factory=dict)
    """Stored attributes of an object."""

    def summary(self) -> str:
        """Returns a short description."""
        return (
            format_count(len(self.body), "byte")
            if self.names is None
            else f"{len(self.names)}: {', '.join(self.names[:10])}"
        )


class UnreadableObject(Exception):
    """The object cannot be read, for example because of a customer-provided key."""


def read_object(aws: Sandbox, uri: S3Uri, account: str) -> Optional[Content]:
    """Reads an object, or the names below a prefix; None if it does not exist.

    Raises UnreadableObject.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - imported only to run cases

    s3 = aws.client("s3", account)
    try:
        return (
            Content(names=tuple(sorted(_list_keys(s3, uri))))
            if uri.is_prefix
            else _read_object(s3, uri)
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
            return None
        raise UnreadableObject(str(error)) from error
    except BotoCoreError as error:
        raise UnreadableObject(str(error)) from error


def _read_object(s3: Any, uri: S3Uri) -> Content:
    answer = s3.get_object(Bucket=uri.bucket, Key=uri.key)
    body = answer["Body"].read()
    tags = s3.get_object_tagging(Bucket=uri.bucket, Key=uri.key)["TagSet"]
    stored = {
        "content_type": answer.get("ContentType"),
        "metadata": answer.get("Metadata", {}),
        "encryption": answer.get("ServerSideEncryption"),
        "storage_class": answer.get("StorageClass", "STANDARD"),
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
    }
    return Content(body, stored=stored)


def read_file(path: Path, *, is_folder: bool) -> Optional[Content]:
    """Reads a file, or the names below a folder; None if it does not exist."""
    if is_folder:
        return Content(
            names=tuple(
                sorted(
                    each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()
                )
            )
        )
    return Content(path.read_bytes()) if path.is_file() else None


def _list_keys(s3: Any, uri: S3Uri) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=uri.bucket, Prefix=uri.key):
        for each in page.get("Contents", ()):
            yield each["Key"][len(uri.key) :]


def read_partitions(name: str, aws: Sandbox) -> Optional[list[list[str]]]:
    """Returns the values of the partitions of a table, in order; None if it does not exist."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - imported only to run cases

    database, _, table = name.partition(".")
    for account in aws.accounts:
        glue = aws.client("glue", account)
        try:
            glue.get_table(DatabaseName=database, Name=table)
        except ClientError as error:
            if error.response["Error"]["Code"] == "EntityNotFoundException":
                continue
            raise
        pages = glue.get_paginator("get_partitions").paginate(
            DatabaseName=database, TableName=table
        )
        return sorted(list(each["Values"]) for page in pages for each in page["Partitions"])
    return None
