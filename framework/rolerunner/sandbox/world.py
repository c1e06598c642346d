"""Models of the sandbox file, and their creation by ordinary API calls."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, model_validator

from rolerunner.model import RoleArn
from rolerunner.sandbox.message_targets import (
    SandboxBus,
    SandboxQueue,
    SandboxTopic,
    create_targets,
)
from rolerunner.sandbox.statements import Grants, Permissions, policy_document
from rolerunner.sandbox.world_catalog import (
    SandboxDatabase,
    SandboxJob,
    SandboxQueryResult,
    SandboxWorkgroup,
    create_database,
    create_workgroup,
)
from rolerunner.sandbox.world_secrets import (
    SandboxParameter,
    SandboxSecret,
    create_parameter,
    create_secret,
)
from rolerunner.spec.field_types import Account, Seconds, StrictModel

_GLUE_TRUST = [
    {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
]


def _validate_arn(value: Any) -> Any:
    if isinstance(value, str):
        RoleArn.parse(value)
    return value


Arn = Annotated[str, BeforeValidator(_validate_arn)]


DEFAULT_REGION = "eu-west-1"
"""The region of a sandbox that does not say another."""


class ObjectContent(StrictModel):
    """The content of an object and its stored attributes."""

    text: Optional[str] = Field(None, description="Its text.", examples=["hello"])
    gzip: Optional[str] = Field(None, description="Text, stored compressed.", examples=["hello"])
    file: Optional[str] = Field(
        None,
        description="A file with its bytes, relative to the file that names it.",
        examples=["data/orders.csv"],
    )
    size: Optional[int] = Field(
        None, ge=0, description="Its number of bytes; the content is arbitrary.", examples=[1000]
    )
    content_type: Optional[str] = Field(None, description="Its media type.", examples=["text/csv"])
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Its user metadata.", examples=[{"run": "1"}]
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="Its tags.", examples=[{"team": "orders"}]
    )

    @model_validator(mode="after")
    def _one_content(self) -> "ObjectContent":
        if sum(each is not None for each in (self.text, self.gzip, self.file, self.size)) != 1:
            raise ValueError("each object must have exactly one of text, gzip, file or size")
        return self

    def body(self, folder: Path) -> bytes:
        """Returns the bytes. Raises OSError for an unreadable file."""
        if self.file is not None:
            return (folder / self.file).read_bytes()
        if self.size is not None:
            return (b"0123456789abcdef" * (self.size // 16 + 1))[: self.size]
        if self.gzip is not None:
            return gzip.compress(self.gzip.encode(), mtime=0)
        return (self.text or "").encode()


class SandboxObject(ObjectContent):
    """An object that exists when the run starts."""

    key: str = Field(min_length=1)


class SandboxBucket(StrictModel):
    """A bucket and its objects."""

    name: str
    account: Account
    versioning: bool = False
    policy: Grants = Field(default_factory=list)
    objects: list[SandboxObject] = Field(default_factory=list)


class SandboxRole(StrictModel):
    """A role with its trust policy and permissions."""

    arn: Arn
    description: str = ""
    trust: Grants = Field(default_factory=list)
    permissions: Permissions = Field(default_factory=list)
    max_session_duration: Optional[Seconds] = None


class World(StrictModel):
    """A sandbox file."""

    version: Literal[1]
    region: str = DEFAULT_REGION
    job_role: Arn = Field(description="The role that the job runs as.")
    roles: list[SandboxRole]
    buckets: list[SandboxBucket] = Field(default_factory=list)
    secrets: list[SandboxSecret] = Field(default_factory=list)
    parameters: list[SandboxParameter] = Field(default_factory=list)
    topics: list[SandboxTopic] = Field(default_factory=list)
    queues: list[SandboxQueue] = Field(default_factory=list)
    event_buses: list[SandboxBus] = Field(default_factory=list)
    databases: list[SandboxDatabase] = Field(default_factory=list)
    workgroups: list[SandboxWorkgroup] = Field(default_factory=list)
    query_results: list[SandboxQueryResult] = Field(default_factory=list)
    jobs: list[SandboxJob] = Field(default_factory=list)

    @model_validator(mode="after")
    def _job_role_is_there(self) -> "World":
        if self.job_role not in [role.arn for role in self.roles]:
            raise ValueError(f"'job_role' is not one of the roles: {self.job_role}")
        return self

    @model_validator(mode="after")
    def _nothing_is_there_twice(self) -> "World":
        for kind, names in (
            ("role", [role.arn for role in self.roles]),
            ("bucket", [bucket.name for bucket in self.buckets]),
            ("secret", [secret.place for secret in self.secrets]),
            ("parameter", [parameter.place for parameter in self.parameters]),
            ("topic", [topic.arn for topic in self.topics]),
            ("queue", [queue.arn for queue in self.queues]),
            ("event_bus", [bus.arn for bus in self.event_buses]),
            ("database", [database.place for database in self.databases]),
            ("workgroup", [workgroup.place for workgroup in self.workgroups]),
            ("job", [job.place for job in self.jobs]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                key = f"{kind}es" if kind == "event_bus" else f"{kind}s"
                raise ValueError(f"'{key}' contains the {kind.replace('_', ' ')} {twice[0]} twice")
        return self

    @property
    def accounts(self) -> set[str]:
        """The accounts of all that exists in it."""
        return {
            *(RoleArn.parse(role.arn).account for role in self.roles),
            *(bucket.account for bucket in self.buckets),
            *(secret.owner for secret in self.secrets),
            *(arn.split(":")[4] for arn in self.list_target_arns()),
            *(parameter.account for parameter in self.parameters),
            *(database.account for database in self.databases),
            *(workgroup.account for workgroup in self.workgroups),
            *(result.account for result in self.query_results),
            *(job.account for job in self.jobs),
        }

    def list_target_arns(self) -> list[str]:
        """Returns the ARNs of the topics, queues and event buses."""
        return [
            *(topic.arn for topic in self.topics),
            *(queue.arn for queue in self.queues),
            *(bus.arn for bus in self.event_buses),
        ]

    def files(self) -> Iterator[tuple[tuple[Union[str, int], ...], str]]:
        """Yields the local files that it names, each with its position in the sandbox file."""
        for at, bucket in enumerate(self.buckets):
            for number, each in enumerate(bucket.objects):
                if each.file is not None:
                    yield ("buckets", at, "objects", number, "file"), each.file


Clients = Callable[..., Any]
"""Maps service, account and region to a client of that account's administrator.

The region is the sandbox's by default.
"""


def create_world(world: World, client: Clients, folder: Path) -> None:
    """Creates what the file describes; files are relative to ``folder``."""
    create_targets(world.topics, world.queues, world.event_buses, client)
    for role in world.roles:
        _make_role(role, client, is_job=role.arn == world.job_role)
    for bucket in world.buckets:
        _make_bucket(bucket, world.region, client("s3", bucket.account), folder)
    for secret in world.secrets:
        create_secret(secret, client("secretsmanager", secret.owner, secret.home))
    for parameter in world.parameters:
        create_parameter(parameter, client("ssm", parameter.account, parameter.region or ""))
    _create_catalog(world, client)


def _create_catalog(world: World, client: Clients) -> None:
    """Creates the databases, workgroups, results of queries, and jobs."""
    for database in world.databases:
        create_database(database, client("glue", database.account, database.region or ""))
    for workgroup in world.workgroups:
        create_workgroup(workgroup, client("athena", workgroup.account, workgroup.region or ""))
    for result in world.query_results:
        athena = client("athena", result.account, result.region or "")
        athena.create_named_query(**result.as_saved_query())
    for job in world.jobs:
        client("glue", job.account, job.region or "").create_job(**job.as_input())


def _make_role(role: SandboxRole, client: Clients, *, is_job: bool) -> None:
    arn = RoleArn.parse(role.arn)
    iam = client("iam", arn.account)
    wanted: dict[str, Any] = {
        "RoleName": arn.name,
        "Path": "/" + arn.path_and_name[: -len(arn.name)],
        "AssumeRolePolicyDocument": policy_document(role.trust or (_GLUE_TRUST if is_job else [])),
    }
    if role.description:
        wanted["Description"] = role.description
    if role.max_session_duration is not None:
        wanted["MaxSessionDuration"] = int(role.max_session_duration)
    iam.create_role(**wanted)
    if role.permissions:
        iam.put_role_policy(
            RoleName=arn.name,
            PolicyName="permissions",
            PolicyDocument=policy_document(role.permissions),
        )


def _make_bucket(bucket: SandboxBucket, region: str, s3: Any, folder: Path) -> None:
    place = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    s3.create_bucket(Bucket=bucket.name, **place)
    if bucket.versioning:
        s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    for each in bucket.objects:
        options = {"ContentType": each.content_type} if each.content_type else {}
        if each.tags:
            options["Tagging"] = urlencode(each.tags)
        s3.put_object(
            Bucket=bucket.name,
            Key=each.key,
            Body=each.body(folder),
            Metadata=each.metadata,
            **options,
        )
    if bucket.policy:
        s3.put_bucket_policy(Bucket=bucket.name, Policy=policy_document(bucket.policy))
