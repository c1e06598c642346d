"""Configures Hadoop's S3A, by which Spark reads and writes S3; it supports one role per bucket.

S3A assumes the role itself, in every JVM, and renews the session. Parameters of AssumeRole that it
cannot set are refused here, because a session without its tags is not the one that the spec
describes (hadoop-aws, "Working with IAM Assumed Roles").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import Role

ASSUMING = "org.apache.hadoop.fs.s3a.auth.AssumedRoleCredentialProvider"
EXTERNAL_ID = "assumed.role.external.id"
"""Newer Hadoop knows it (HADOOP-19201); others would leave it out without a word."""


def url(uri: S3Uri) -> str:
    """Returns the URI for Hadoop.

    Its scheme is always s3a: up to Glue 5.0 ``s3:`` is another connector without these settings.
    """
    return f"s3a://{uri.bucket}/{uri.key}"


def settings(
    bucket: str, role: Role, session_name: str, region: str, own: str
) -> Mapping[str, str]:
    """Returns Hadoop's settings for access to a bucket as ``role``.

    ``own`` is the class that finds the job's own credentials.
    """
    if role.is_job:
        return {}
    options = {
        "aws.credentials.provider": ASSUMING,
        "assumed.role.arn": role.arn,
        "assumed.role.session.name": role.session_name or session_name,
        "assumed.role.session.duration": f"{role.duration}s",
        "assumed.role.sts.endpoint": role.sts_endpoint.partition("://")[2]
        or f"sts.{region}.{_service_domain(region)}",
        "assumed.role.sts.endpoint.region": region,
        "assumed.role.credentials.provider": own,
        "assumed.role.policy": role.policy,
        EXTERNAL_ID: role.external_id,
        "endpoint.region": role.region,
    }
    return {f"fs.s3a.bucket.{bucket}.{name}": value for name, value in options.items() if value}


def _service_domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def cannot(role: Role) -> Iterator[str]:
    """Yields the settings of the role that S3A cannot request."""
    if role.via is not None and not role.via.is_job:
        yield f"'via: {role.via}'"
    for name, value in (
        ("tags", role.tags),
        ("source_identity", role.source_identity),
        ("policy_arns", role.policy_arns),
    ):
        if value:
            yield f"'{name}'"


_PLACE = re.compile(r"\bs3[an]?://(?P<bucket>[^/\s:,'\"]+)/?(?P<key>[^\s:,'\"]*)")
_NAMED = re.compile(r"User: \S+ is not authorized to perform: \S+(?: on resource: \S+)?[^\n(]*")
_VERB = re.compile(
    r"(?P<verb>[\w #,-]+?)(?:\([^)\n]*\))? on (?P<place>\S+): "
    r"(?:com\.amazonaws|software\.amazon|org\.apache)"
)
_OPERATIONS = (
    (r"(?:initiate|create) ?multi", "CreateMultipartUpload"),
    (r"abort", "AbortMultipartUpload"),
    (r"complet", "CompleteMultipartUpload"),
    (r"upload ?part|uploading part", "UploadPart"),
    (r"list uploads|list multipart", "ListMultipartUploads"),
    (r"list", "ListObjectsV2"),
    (r"delete|bulk|remove", "DeleteObjects"),
    (r"copy|rename", "CopyObject"),
    (r"put|writ|creat|mkdir|touch", "PutObject"),
    (r"get|head|(?:re-?)?open|read|seek|exists|is_?dir", "GetObject"),
)
"""S3A's names of its operations (S3AUtils.translateException), and the operations of S3."""


def place_in(text: str) -> S3Uri:
    """The object or prefix that an error of S3A is about; without a bucket where it names none."""
    found = _PLACE.search(text)
    return S3Uri(found["bucket"], found["key"]) if found else S3Uri("")


def refusal_in(text: str) -> str:
    """Returns AWS's sentence on the refusal in an error of S3A; empty if there is none."""
    found = _NAMED.search(text)
    return found[0].strip() if found else ""


def operation_in(text: str) -> str:
    """The operation of S3 that an error of S3A is about; empty where it is not known."""
    found = _VERB.search(text)
    verb = found["verb"].strip().lower() if found else ""
    return next(
        (operation for pattern, operation in _OPERATIONS if verb and re.match(pattern, verb)), ""
    )
