"""How Spark's own reads and writes reach S3 under a role: Hadoop's S3A, which knows one role for each bucket.

S3A assumes the role itself, in every JVM, and renews the session; what it cannot say to AssumeRole is refused here, for
a session without its tags would be another one than the spec asks for (hadoop-aws, "Working with IAM Assumed Roles").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import Role, S3Uri

ASSUMING = "org.apache.hadoop.fs.s3a.auth.AssumedRoleCredentialProvider"
EXTERNAL_ID = "assumed.role.external.id"
"""Newer Hadoop knows it (HADOOP-19201); others would leave it out without a word."""


def url(uri: S3Uri) -> str:
    """As Hadoop names it. Always s3a: up to Glue 5.0 ``s3:`` is another connector, which does not know these settings."""
    return f"s3a://{uri.bucket}/{uri.key}"


def settings(bucket: str, role: Role, session_name: str, region: str, own: str) -> Mapping[str, str]:
    """Hadoop's settings for a bucket that is reached as ``role``. ``own`` is the class that finds the job's own credentials."""
    if role.is_job:
        return {}
    said = {
        "aws.credentials.provider": ASSUMING,
        "assumed.role.arn": role.arn,
        "assumed.role.session.name": role.session_name or session_name,
        "assumed.role.session.duration": f"{role.duration}s",
        "assumed.role.sts.endpoint": role.sts_endpoint.partition("://")[2] or f"sts.{region}.{_domain(region)}",
        "assumed.role.sts.endpoint.region": region,
        "assumed.role.credentials.provider": own,
        "assumed.role.policy": role.policy,
        EXTERNAL_ID: role.external_id,
        "endpoint.region": role.region,
    }
    return {f"fs.s3a.bucket.{bucket}.{name}": value for name, value in said.items() if value}


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def cannot(role: Role) -> Iterator[str]:
    """What the role's session is to have that S3A cannot ask for."""
    if role.via is not None and not role.via.is_job:
        yield f"'via: {role.via}'"
    for name, value in (("tags", role.tags), ("source_identity", role.source_identity), ("policy_arns", role.policy_arns)):
        if value:
            yield f"'{name}'"
