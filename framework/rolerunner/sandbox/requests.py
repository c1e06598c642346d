"""Parses the emulator's records into requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ADMIN = re.compile(r"\d{12}\Z")
# An S3 operation is identified by method, path and query; the first row that fits applies: method,
# number of path parts (bucket and key: 2, bucket: 1, neither: 0), a name that the query must hold.
_S3_OPERATIONS = (
    ("POST", 2, "uploads", "CreateMultipartUpload"),
    ("PUT", 2, "partNumber", "UploadPart"),
    ("POST", 2, "uploadId", "CompleteMultipartUpload"),
    ("DELETE", 2, "uploadId", "AbortMultipartUpload"),
    ("PUT", 2, "tagging", "PutObjectTagging"),
    ("GET", 2, "tagging", "GetObjectTagging"),
    ("PUT", 2, "", "PutObject"),
    ("GET", 2, "", "GetObject"),
    ("HEAD", 2, "", "HeadObject"),
    ("DELETE", 2, "", "DeleteObject"),
    ("POST", 1, "delete", "DeleteObjects"),
    ("GET", 1, "list-type", "ListObjectsV2"),
    ("GET", 1, "versions", "ListObjectVersions"),
    ("GET", 1, "uploads", "ListMultipartUploads"),
    ("GET", 1, "location", "GetBucketLocation"),
    ("PUT", 1, "versioning", "PutBucketVersioning"),
    ("PUT", 1, "policy", "PutBucketPolicy"),
    ("PUT", 1, "", "CreateBucket"),
    ("HEAD", 1, "", "HeadBucket"),
    ("DELETE", 1, "", "DeleteBucket"),
    ("GET", 0, "", "ListBuckets"),
)
_COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}
OPERATIONS = (
    *dict.fromkeys((*(operation for *_, operation in _S3_OPERATIONS), *_COPIES.values())),
    "AssumeRole",
    "GetCallerIdentity",
)
"""Known operations of S3 and STS."""
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "403"})
"""Error codes of refused requests; a response to HEAD has no body, only a status."""


@dataclass(frozen=True)
class RecordedRequest:
    """A request and its outcome."""

    service: str
    operation: str
    caller: str
    """ARN of the signer: a role's session, or an account's root."""
    region: str
    parameters: dict[str, Any]
    """Of S3: Bucket, Key and the query; of STS, IAM and their kind: the form."""
    error: str
    """The error's code, empty for a request that was granted."""

    @property
    def is_refused(self) -> bool:
        """Returns True if IAM refused the request."""
        return self.error in _REFUSED

    @property
    def is_admin(self) -> bool:
        """Returns True if an account's administrator signed it, as during setup."""
        return self.caller.endswith(":root")


def parse_records(records: Iterable[Mapping[str, Any]]) -> list[RecordedRequest]:
    """Parses records; a session's key is known from the STS response that issued it."""
    sessions: dict[str, str] = {}
    found = []
    for record in records:
        if record["issued"]:
            sessions.update([record["issued"]])
        found.append(_parse_request(record, _find_caller(record["key"], sessions)))
    return found


def parse_operation(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the operation and the parameters of a recorded request."""
    return _parse_s3_request(record) if record["service"] == "s3" else _parse_other_request(record)


def _find_caller(key: str, sessions: Mapping[str, str]) -> str:
    return f"arn:aws:iam::{key}:root" if _ADMIN.match(key) else sessions.get(key, key)


def _parse_request(record: Mapping[str, Any], caller: str) -> RecordedRequest:
    operation, parameters = parse_operation(record)
    return RecordedRequest(
        record["service"], operation, caller, record["region"], parameters, record["error"]
    )


def _parse_s3_request(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    names = [part for part in record["path"].lstrip("/").split("/", 1) if part]
    parameters = {**record["query"], **dict(zip(("Bucket", "Key"), names))}
    for method, depth, asked, operation in _S3_OPERATIONS:
        if (method, depth) == (record["method"], len(names)) and (
            not asked or asked in record["query"]
        ):
            return (
                _COPIES.get(operation, operation) if record["copies"] else operation
            ), parameters
    return f"{record['method']} {'/'.join(record['query'])}".rstrip(), parameters


def _parse_other_request(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    form = {**record["query"], **record["form"]}
    return form.pop("Action", "") or record["target"].rsplit(".", 1)[
        -1
    ] or f"{record['method']} {record['path']}", form
