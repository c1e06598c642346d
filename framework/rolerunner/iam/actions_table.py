"""The table of the IAM actions that each operation of AWS needs, and on which resources.

Sources: the Service Authorization Reference and the S3 user guide. A test compares every name with
the published IAM data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.patterns import compile_on_use
from rolerunner.model import Condition, Permission, S3Uri, SecretSource

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTIQL = (
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLSelect",
    "dynamodb:PartiQLUpdate",
)
_PUT = ("s3:PutObject",)
_COPY = ("s3:GetObject", "s3:PutObject")
S3_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "CompleteMultipartUpload": _PUT,
    "CopyObject": _COPY,
    "CreateMultipartUpload": _PUT,
    "CreateSession": ("s3express:CreateSession",),
    "DeleteBucketAnalyticsConfiguration": ("s3:PutAnalyticsConfiguration",),
    "DeleteBucketCors": ("s3:PutBucketCORS",),
    "DeleteBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "DeleteBucketIntelligentTieringConfiguration": ("s3:PutIntelligentTieringConfiguration",),
    "DeleteBucketInventoryConfiguration": ("s3:PutInventoryConfiguration",),
    "DeleteBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "DeleteBucketMetricsConfiguration": ("s3:PutMetricsConfiguration",),
    "DeleteBucketOwnershipControls": ("s3:PutBucketOwnershipControls",),
    "DeleteBucketReplication": ("s3:PutReplicationConfiguration",),
    "DeleteBucketTagging": ("s3:PutBucketTagging",),
    "DeleteObjects": ("s3:DeleteObject",),
    "DeletePublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "GetBucketAccelerateConfiguration": ("s3:GetAccelerateConfiguration",),
    "GetBucketAnalyticsConfiguration": ("s3:GetAnalyticsConfiguration",),
    "GetBucketCors": ("s3:GetBucketCORS",),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "GetBucketIntelligentTieringConfiguration": ("s3:GetIntelligentTieringConfiguration",),
    "GetBucketInventoryConfiguration": ("s3:GetInventoryConfiguration",),
    "GetBucketLifecycle": ("s3:GetLifecycleConfiguration",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "GetBucketMetricsConfiguration": ("s3:GetMetricsConfiguration",),
    "GetBucketNotificationConfiguration": ("s3:GetBucketNotification",),
    "GetBucketReplication": ("s3:GetReplicationConfiguration",),
    "GetObjectAttributes": ("s3:GetObject", "s3:GetObjectAttributes"),
    "GetObjectLockConfiguration": ("s3:GetBucketObjectLockConfiguration",),
    "GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "HeadBucket": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject",),
    "ListBucketAnalyticsConfigurations": ("s3:GetAnalyticsConfiguration",),
    "ListBucketIntelligentTieringConfigurations": ("s3:GetIntelligentTieringConfiguration",),
    "ListBucketInventoryConfigurations": ("s3:GetInventoryConfiguration",),
    "ListBucketMetricsConfigurations": ("s3:GetMetricsConfiguration",),
    "ListBuckets": ("s3:ListAllMyBuckets",),
    "ListDirectoryBuckets": ("s3express:ListAllMyDirectoryBuckets",),
    "ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "ListObjectVersions": ("s3:ListBucketVersions",),
    "ListObjects": ("s3:ListBucket",),
    "ListObjectsV2": ("s3:ListBucket",),
    "ListParts": ("s3:ListMultipartUploadParts",),
    "PutBucketAccelerateConfiguration": ("s3:PutAccelerateConfiguration",),
    "PutBucketAnalyticsConfiguration": ("s3:PutAnalyticsConfiguration",),
    "PutBucketCors": ("s3:PutBucketCORS",),
    "PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "PutBucketIntelligentTieringConfiguration": ("s3:PutIntelligentTieringConfiguration",),
    "PutBucketInventoryConfiguration": ("s3:PutInventoryConfiguration",),
    "PutBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "PutBucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "PutBucketMetricsConfiguration": ("s3:PutMetricsConfiguration",),
    "PutBucketNotificationConfiguration": ("s3:PutBucketNotification",),
    "PutBucketReplication": ("s3:PutReplicationConfiguration",),
    "PutObjectLockConfiguration": ("s3:PutBucketObjectLockConfiguration",),
    "PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "RenameObject": ("s3express:CreateSession",),
    "SelectObjectContent": ("s3:GetObject",),
    "UploadPart": _PUT,
    "UploadPartCopy": _COPY,
}
"""S3's operations whose IAM action has another name, or that need more than one."""
SERVICE_ACTIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("batch", "CancelJobs"): ("batch:CancelJob",),
    ("batch", "TerminateJobs"): ("batch:TerminateJob",),
    ("bedrock-runtime", "Converse"): ("bedrock:InvokeModel",),
    ("bedrock-runtime", "ConverseStream"): ("bedrock:InvokeModelWithResponseStream",),
    ("bedrock-runtime", "StartAsyncInvoke"): ("bedrock:InvokeModel",),
    ("dynamodb", "BatchExecuteStatement"): _PARTIQL,
    ("dynamodb", "ExecuteStatement"): _PARTIQL,
    ("dynamodb", "ExecuteTransaction"): _PARTIQL,
    ("dynamodb", "TransactGetItems"): ("dynamodb:GetItem",),
    ("dynamodb", "TransactWriteItems"): (
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ),
    ("glue", "GetUnfilteredPartitionMetadata"): ("glue:GetPartition",),
    ("glue", "GetUnfilteredPartitionsMetadata"): ("glue:GetPartitions",),
    ("glue", "GetUnfilteredTableMetadata"): ("glue:GetTable",),
    ("kms", "ReEncrypt"): ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    ("lambda", "GetLayerVersionByArn"): ("lambda:GetLayerVersion",),
    ("lambda", "Invoke"): ("lambda:InvokeFunction",),
    ("lambda", "InvokeWithResponseStream"): ("lambda:InvokeFunction",),
    ("redshift-data", "GetStatementResultV2"): ("redshift-data:GetStatementResult",),
    ("sns", "PublishBatch"): ("sns:Publish",),
    ("sqs", "ChangeMessageVisibilityBatch"): ("sqs:ChangeMessageVisibility",),
    ("sqs", "DeleteMessageBatch"): ("sqs:DeleteMessage",),
    ("sqs", "SendMessageBatch"): ("sqs:SendMessage",),
    ("timestream-query", "Query"): ("timestream:Select",),
}
"""(boto3's service name, operation) -> IAM actions, where these have another name."""
IAM_PREFIXES: Mapping[str, str] = {"cloudwatch": "cloudwatch", "resourcegroupstaggingapi": "tag"}
"""Services whose IAM prefix is not the name that their requests are signed with."""
BUCKET_ACTIONS = frozenset(
    {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"}
)
"""Actions on the bucket that work on objects needs."""
_ON_OBJECT = compile_on_use(
    r"s3:(?:(?:Delete|Get|List|Put|Replicate|Restore|Update)?Object(?!Lambda)\w*|AbortMultipartUpload|ListMultipartUploadParts"
    r"|BypassGovernanceRetention|InitiateReplication|ReplicateDelete|ReplicateTags)\Z"
)
"""S3's actions on objects; a statement that names a bucket alone allows none of them."""
_ON_EVERYTHING = frozenset({"s3:ListAllMyBuckets", "s3express:ListAllMyDirectoryBuckets"})
"""Actions that take no resource."""
COPY_OPERATIONS = frozenset({"CopyObject", "UploadPartCopy"})
"""Operations that read another object, which the request names as its source."""
LIST_ACTIONS = frozenset({"s3:ListBucket", "s3:ListBucketVersions"})
"""Actions that the condition s3:prefix applies to."""
VERSIONED_ACTIONS: Mapping[str, str] = {
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:GetObject": "s3:GetObjectVersion",
    "s3:GetObjectAnnotation": "s3:GetObjectVersionAnnotation",
    "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
    "s3:ListBucket": "s3:ListBucketVersions",
    "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
}
"""An action on an object -> the action that a request which names a version needs instead."""
KEY_READ_ACTIONS, KEY_WRITE_ACTIONS = ("kms:Decrypt",), ("kms:GenerateDataKey", "kms:Decrypt")
"""Actions that S3 needs from KMS for the role; a multipart upload reads its parts back."""
_SECRET_SUFFIX = compile_on_use(r"-[A-Za-z0-9]{6}\Z")
_IN_REGION = compile_on_use(r"(arn:[\w-]+:(?:athena|glue|secretsmanager|ssm)):\*:(\*|\d{12}):")
"""Resources named without their region, and mostly without their account."""
_KEY_ARN = compile_on_use(
    r"arn:(?P<partition>aws[a-z-]*):kms:(?P<region>[a-z0-9-]*):(?P<account>\d*):(?P<name>.+)"
)
_SUFFIXES = {
    "aws-cn": "amazonaws.com.cn",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-eusc": "amazonaws.eu",
}
"""Partition -> the suffix of its services' host names; amazonaws.com elsewhere."""


def is_aws_host(host: str) -> bool:
    """Returns True for a host name of AWS, in any partition."""
    return host.endswith(tuple(f".{suffix}" for suffix in ("amazonaws.com", *_SUFFIXES.values())))


def find_iam_actions(service: str, operation: str, prefix: str) -> tuple[str, ...]:
    """Returns the IAM actions of an operation; ``prefix`` is the service's name in IAM.

    The prefix is used where the table has no entry.
    """
    found = (
        S3_ACTIONS.get(operation) if service == "s3" else SERVICE_ACTIONS.get((service, operation))
    )
    return found or (f"{IAM_PREFIXES.get(service, prefix)}:{operation}",)


def build_bucket_arn(uri: S3Uri, partition: str = "aws") -> str:
    """Returns the ARN of the bucket or access point."""
    return uri.bucket if uri.bucket.startswith("arn:") else f"arn:{partition}:s3:::{uri.bucket}"


def build_object_arn(uri: S3Uri, partition: str = "aws") -> str:
    """Returns the ARN of the object, or of all objects under the prefix."""
    separator = "/object/" if uri.bucket.startswith("arn:") else "/"
    return f"{build_bucket_arn(uri, partition)}{separator}{uri.key}{'*' if uri.is_prefix else ''}"


def find_resource(action: str, uri: S3Uri) -> str:
    """Returns an S3 action's resource: all, the bucket, the object, or those under a prefix."""
    if action in _ON_EVERYTHING or not uri.bucket:
        return "*"
    return build_object_arn(uri) if _ON_OBJECT.match(action) else build_bucket_arn(uri)


def derive_s3_permissions(
    operation: str, uri: S3Uri, *, source: Optional[S3Uri] = None, versioned: bool = False
) -> tuple[Permission, ...]:
    """Returns the permissions that an S3 operation needs.

    ``source`` is the object that a copy reads. With ``versioned``, the request names a version; a
    copy names that of its source.
    """
    read = source or S3Uri("*", "*")
    return tuple(
        _s3_permission(operation, action, uri, read, versioned=versioned)
        for action in find_iam_actions("s3", operation, "s3")
    )


def _s3_permission(
    operation: str, action: str, uri: S3Uri, source: S3Uri, *, versioned: bool
) -> Permission:
    is_copy = operation in COPY_OPERATIONS
    place = source if is_copy and action == "s3:GetObject" else uri
    if versioned and (not is_copy or place is source):
        action = VERSIONED_ACTIONS.get(action, action)
    return Permission(
        action,
        find_resource(action, place),
        build_prefix_condition(uri.key) if action in LIST_ACTIONS else (),
    )


def derive_permissions(
    service: str, prefix: str, operation: str, parameters: Mapping[str, Any]
) -> tuple[Permission, ...]:
    """Returns the permissions that a request to any service needs.

    Those of S3 are limited to the bucket, object or prefix in the parameters. ``service`` is
    boto3's name of the service, ``prefix`` its name in IAM.
    """
    if service != "s3":
        return tuple(
            Permission(action, "*") for action in find_iam_actions(service, operation, prefix)
        )
    bucket, key, listed = (str(parameters.get(name) or "") for name in ("Bucket", "Key", "Prefix"))
    if operation in COPY_OPERATIONS:
        source, versioned = _parse_copy_source(parameters.get("CopySource"))
        return derive_s3_permissions(
            operation, S3Uri(bucket, key), source=source, versioned=versioned
        )
    if operation == "DeleteObjects":
        place, versioned = _parse_deletions(bucket, parameters.get("Delete"))
        return derive_s3_permissions(operation, place, versioned=versioned)
    return derive_s3_permissions(
        operation, S3Uri(bucket, key or listed), versioned=bool(parameters.get("VersionId"))
    )


def _parse_copy_source(source: Any) -> tuple[S3Uri, bool]:
    """Returns a copy's source, * where it is not known, and whether it names a version."""
    if isinstance(source, Mapping):
        return S3Uri(str(source.get("Bucket") or "*"), str(source.get("Key") or "*")), bool(
            source.get("VersionId")
        )
    place, version, _ = str(source or "").lstrip("/").partition("?versionId=")
    bucket, _, key = place.partition("/")
    return S3Uri(bucket or "*", key or "*"), bool(version)


def _parse_deletions(bucket: str, batch: Any) -> tuple[S3Uri, bool]:
    """Returns the common folder of a batch of deletions, and whether it names versions."""
    objects = batch.get("Objects") if isinstance(batch, Mapping) else None
    known = (
        [each for each in objects if isinstance(each, Mapping)]
        if isinstance(objects, (list, tuple))
        else []
    )
    keys = [each.get("Key") for each in known]
    named = [key for key in keys if isinstance(key, str)]
    folder = find_common_folder(named) if named and len(named) == len(objects or ()) else ""
    return S3Uri(bucket, folder), any(each.get("VersionId") for each in known)


def replace_action(permission: Permission, action: str) -> Permission:
    """Returns the permission for another action on the same resource.

    AWS may deny the tags of an upload, or the listing behind a missing key.
    """
    bucket, slash, key = permission.resource.partition("/")
    if _ON_OBJECT.match(action) or not slash or ":s3:::" not in bucket:
        return Permission(action, permission.resource)
    return Permission(action, bucket, build_prefix_condition(key) if action in LIST_ACTIONS else ())


def find_common_folder(keys: Iterable[str]) -> str:
    """Returns the key of a single object, else the longest folder that contains all keys.

    The folder is empty or ends with ``/``.
    """
    distinct = set(keys)
    common = os.path.commonprefix([min(distinct, default=""), max(distinct, default="")])  # noqa: RUF071 - keys, not paths
    return common if len(distinct) == 1 else common[: common.rfind("/") + 1]


def build_prefix_condition(key: str) -> tuple[Condition, ...]:
    """Returns the condition on a listing of a prefix, if it has one.

    For a missing key, AWS checks a listing whose prefix is the key itself; hence both forms.
    """
    return (("StringLike", "s3:prefix", (key, f"{key}*")),) if key.strip("*") else ()


def derive_key_permissions(
    actions: tuple[str, ...], key: str, service: str = "s3"
) -> list[Permission]:
    """Returns the permissions on a KMS key, given by ARN, id or alias, for use through a service.

    An alias is no resource, so it becomes a condition on all keys.
    """
    named = _KEY_ARN.match(key)
    name = (
        named["name"]
        if named is not None
        else key
        if key.startswith(("alias/", "key/"))
        else f"key/{key}"
    )
    partition, region, account = (
        (named["partition"], named["region"], named["account"])
        if named is not None
        else ("aws", "*", "*")
    )
    is_alias = name.startswith("alias/")
    resource = f"arn:{partition}:kms:{region}:{account}:{'key/*' if is_alias else name}"
    condition = [build_key_condition("" if region == "*" else region, partition, service)]
    if is_alias:
        operator = "ForAnyValue:StringLike" if "*" in name else "ForAnyValue:StringEquals"
        condition.insert(0, (operator, "kms:ResourceAliases", (name,)))
    return [Permission(action, resource, tuple(condition), "encryption") for action in actions]


def build_key_condition(region: str, partition: str, service: str = "s3") -> Condition:
    """Returns the condition that limits a KMS key to use through a service.

    The condition names the region if it is known.
    """
    host = f"{service}.{region or '*'}.{_SUFFIXES.get(partition, 'amazonaws.com')}"
    return ("StringLike" if "*" in host else "StringEquals", "kms:ViaService", (host,))


def derive_secret_permissions(source: SecretSource) -> list[Permission]:
    """Returns the permissions that fetching a secret param needs.

    The ARN of a secret ends with six random characters, which its name does not have.
    """
    if source.service == "ssm":
        resource = re.sub(r"(:parameter/[^:]+):.*\Z", r"\1", _find_secret_arn(source))
        permissions = [Permission("ssm:GetParameter", resource)]
    else:
        arn = _find_secret_arn(source)
        suffix = "" if source.region and _SECRET_SUFFIX.search(arn) else "-??????"
        permissions = [Permission("secretsmanager:GetSecretValue", f"{arn}{suffix}")]
    if source.kms_key:
        permissions += derive_key_permissions(KEY_READ_ACTIONS, source.kms_key, source.service)
    return permissions


def _find_secret_arn(source: SecretSource) -> str:
    """Returns the ARN, with ``*`` for the region and account of a name."""
    if source.region:
        return source.name
    if source.service == "ssm":
        return f"arn:aws:ssm:*:*:parameter/{source.name.lstrip('/')}"
    return f"arn:aws:secretsmanager:*:*:secret:{source.name}"


def resolve_for_role(
    permission: Permission, partition: str, account: str = "", region: str = ""
) -> Permission:
    """Returns the permission in a role's partition, with KMS keys and secrets in its account.

    ``region`` is the role's, if the spec sets it; its buckets and their keys are assumed there, and
    its secrets, jobs, workgroups and tables are.
    """
    resource = re.sub(r"\Aarn:aws:", f"arn:{partition}:", permission.resource)
    condition = permission.condition
    bucket = S3Uri(resource.partition(":s3:::")[2].partition("/")[0])
    if bucket.in_directory_bucket:
        # S3 Express: requests to a directory bucket are authorized by a session alone
        kind = "accesspoint" if bucket.bucket.endswith("--xa-s3") else "bucket"
        return Permission(
            "s3express:CreateSession",
            f"arn:{partition}:s3express:*:*:{kind}/{bucket.bucket}",
            reason="directory bucket",
        )
    if permission.action.startswith("kms:") and resource.startswith(f"arn:{partition}:kms:*:*:"):
        resource = resource.replace(":*:*:", f":*:{account or '*'}:", 1)
        condition = tuple(
            build_key_condition(region, partition, values[0].partition(".")[0])
            if key == "kms:ViaService"
            else (operator, key, values)
            for operator, key, values in condition
        )
    named = _IN_REGION.match(resource)
    if named is not None:
        owner = (account or "*") if named[2] == "*" else named[2]
        resource = f"{named[1]}:{region or '*'}:{owner}:{resource[named.end() :]}"
    return replace(permission, resource=resource, condition=condition)


def build_resource_arn(service: str, resource: str, account: str = "") -> str:
    """Returns the ARN of a resource of a role's region and, without ``account``, its account."""
    return f"arn:aws:{service}:*:{account or '*'}:{resource}"


def build_table_arns(database: str, table: str, account: str = "") -> tuple[str, ...]:
    """Returns the ARNs that AWS checks for a table of the Data Catalog: those above it, too."""
    names = ("catalog", f"database/{database}", f"table/{database}/{table}")
    return tuple(build_resource_arn("glue", name, account) for name in names)


def build_statement(
    actions: list[str], resources: list[str], condition: Optional[Mapping[str, Any]] = None
) -> dict[str, Any]:
    """Returns an Allow statement of a policy."""
    result: dict[str, Any] = {
        "Effect": "Allow",
        "Action": unwrap_single(actions),
        "Resource": unwrap_single(resources),
    }
    return {**result, "Condition": condition} if condition else result


def unwrap_single(values: list[str]) -> Any:
    """Returns the element of a list of one, as IAM writes it, else the list."""
    return values[0] if len(values) == 1 else values


def render_condition(condition: Iterable[Condition]) -> dict[str, Any]:
    """Returns conditions as the Condition of a statement."""
    result: dict[str, Any] = {}
    for operator, key, values in condition:
        result.setdefault(operator, {})[key] = list(values)
    return result
