"""Configures Hadoop's S3A, by which Spark reads and writes S3.

Each bucket is opened under a scheme of its own for each role, such as ``s3a-1f02c3d4``: Hadoop
caches a connection by scheme and bucket, so two roles on one bucket do not share it. The settings
travel with the reads and writes of a step, to executors too, and change nothing for others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.spark.credentials_server import JOB_ARN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import Role

_S3A = "org.apache.hadoop.fs.s3a"
ASSUMING = f"{_S3A}.auth.AssumedRoleCredentialProvider"
FIXED = f"{_S3A}.TemporaryAWSCredentialsProvider"
_DEFAULT_CHAINS = {
    1: "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
    2: "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
}
"""Version of the AWS SDK for Java -> its class that finds the job's own credentials."""


@dataclass(frozen=True)
class Connection:
    """The region of a bucket and the endpoints to call; an empty one is the default of AWS."""

    bucket: str
    scheme: str
    region: str
    endpoint: str = ""
    sdk: int = 1
    """Major version of the AWS SDK for Java that this Hadoop uses."""

    def url(self, uri: S3Uri) -> str:
        """Returns the URI for Hadoop."""
        return f"{self.scheme}://{uri.bucket}/{uri.key}"

    def build_settings(self, credentials: Mapping[str, str]) -> dict[str, str]:
        """Returns Hadoop's settings for this bucket. ``credentials`` are settings of its role."""
        options = {
            "endpoint.region": self.region,
            # to delete the markers of parent folders, a role would need more than its target
            "directory.marker.retention": "keep",
            **self._build_endpoint(),
            **credentials,
        }
        prefix = f"fs.s3a.bucket.{self.bucket}"
        return {
            f"fs.{self.scheme}.impl": f"{_S3A}.S3AFileSystem",
            **{f"{prefix}.{name}": value for name, value in options.items() if value},
        }

    def _build_endpoint(self) -> dict[str, str]:
        if self.endpoint:
            return {
                "endpoint": self.endpoint,
                "path.style.access": "true",
                "connection.ssl.enabled": str(self.endpoint.startswith("https:")).lower(),
            }
        # version 2 derives it from the region; version 1 follows no redirect to another region
        host = f"s3.{self.region}.{_find_domain(self.region)}"
        return {"endpoint": host} if self.sdk == 1 else {}


def build_role_credentials(
    role: Role, session_name: str, region: str, sts_endpoint: str, sdk: int
) -> dict[str, str]:
    """Returns the settings with which S3A assumes the role itself, in every JVM.

    ``region`` and ``sts_endpoint`` are the job's; those of the role come first.
    """
    if role.is_job:
        return {"aws.credentials.provider": _DEFAULT_CHAINS[sdk]}
    region = role.region or region
    endpoint = role.sts_endpoint or sts_endpoint or f"https://sts.{region}.{_find_domain(region)}"
    return {
        "aws.credentials.provider": ASSUMING,
        "assumed.role.arn": role.arn,
        "assumed.role.session.name": role.session_name or session_name,
        "assumed.role.session.duration": f"{role.duration}s",
        "assumed.role.credentials.provider": _DEFAULT_CHAINS[sdk],
        "assumed.role.policy": role.policy,
        "assumed.role.external.id": role.external_id,
        **_build_sts_endpoint(endpoint, region, sdk),
    }


def build_lent_credentials(
    role: Role, token: str, endpoint: str, region: str, sdk: int
) -> dict[str, str]:
    """Returns the settings with which S3A asks this process for sessions, at ``endpoint``."""
    return {
        "aws.credentials.provider": ASSUMING,
        "assumed.role.arn": role.arn or JOB_ARN,
        "assumed.role.session.name": "rolerunner",
        "assumed.role.credentials.provider": FIXED,
        "access.key": "rolerunner",
        "secret.key": token,
        "session.token": token,
        **_build_sts_endpoint(endpoint, region, sdk),
    }


def _build_sts_endpoint(endpoint: str, region: str, sdk: int) -> dict[str, str]:
    """Returns the settings for STS.

    S3A with version 2 of the SDK takes a host and calls it by HTTPS. An endpoint without TLS is
    left to the SDK, which reads it from the JVM's environment or properties.
    """
    if sdk == 1:
        host = endpoint if endpoint.startswith("http:") else endpoint.partition("://")[2]
    else:
        host = "" if endpoint.startswith("http:") else endpoint.partition("://")[2]
    if not host:
        return {}
    return {"assumed.role.sts.endpoint": host, "assumed.role.sts.endpoint.region": region}


def _find_domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def list_unsupported(role: Role, *, has_external_ids: bool) -> Iterator[str]:
    """Yields the settings of the role that S3A cannot request by itself."""
    if role.via is not None and not role.via.is_job:
        yield f"'via: {role.via}'"
    for name, value in (
        ("tags", role.tags),
        ("source_identity", role.source_identity),
        ("policy_arns", role.policy_arns),
        ("external_id", "" if has_external_ids else role.external_id),
    ):
        if value:
            yield f"'{name}'"


_PLACE = re.compile(r"\bs3[an]?(?:-[0-9a-f]+)?://(?P<bucket>[^/\s:,'\"]+)/?(?P<key>[^\s:,'\"]*)")
_NAMED = re.compile(r"User: \S+ is not authorized to perform: \S+(?: on resource: \S+)?[^\n(]*")
_SESSION = re.compile(r"User: arn:([^:]+):sts::(\d{12}):assumed-role/([^/\s]+)/")
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
    operation = _VERB.search(text)
    found = _PLACE.search(operation["place"] if operation else text)
    if found:
        return S3Uri(found["bucket"], found["key"])
    return S3Uri("", operation["place"] if operation else "")


def scheme_in(text: str) -> str:
    """Returns the scheme of the first location in an error of S3A; empty if it names none."""
    found = _PLACE.search(text)
    return found[0].partition("://")[0] if found else ""


def refused_role_in(text: str) -> str:
    """Returns the ARN of the role that AWS's sentence on a refusal names; empty if there is none.

    It lacks the role's path, which a session's ARN does not contain.
    """
    found = _SESSION.search(text)
    return f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}" if found else ""


def is_denied(text: str) -> bool:
    """Returns True for an error of S3A about a request that AWS refused."""
    return "AccessDenied" in text or "Status Code: 403" in text


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
