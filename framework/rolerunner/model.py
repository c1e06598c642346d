"""The nouns: frozen values that every other module speaks in. No I/O, nothing of the runner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from rolerunner.errors import Mark

StepStatus = Literal["succeeded", "warning", "failed", "skipped", "not_run"]
"""How a step ended."""
RunStatus = Literal["succeeded", "warning", "failed", "stopped"]
"""How a run ended."""
NOWHERE = Mark("", 0, 0)
_ROLE_ARN = re.compile(
    r"arn:(aws[a-z-]*):iam::(\d{12}):role/((?:[\x21-\x7e]+/)?([\w+=,.@-]{1,64}))\Z", re.ASCII
)
_ACCESS_POINT = re.compile(
    r"(arn:aws[a-z-]*:(?:(?:s3|s3-object-lambda):[a-z0-9-]*:\d*:accesspoint|s3-outposts:[a-z0-9-]+:\d+:outpost/[^/]+/accesspoint)/[^/]+)(?:/(.*))?\Z",
    re.DOTALL,
)
_DIRECTORY_BUCKET = re.compile(
    r"arn:aws[a-z-]*:s3express:[a-z0-9-]+:\d{12}:(?:bucket|accesspoint)/([^/]+)(?:/(.*))?\Z",
    re.DOTALL,
)
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}\Z")


@dataclass(frozen=True, order=True)
class S3Uri:
    """``s3://bucket/key``; the bucket may be an access point's ARN, the key may be empty or a prefix.

    A directory bucket, and an access point to one, goes by its name, which is what S3 takes; its ARN is read too.
    """

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read ``s3://...``. Raises ValueError with what is wrong."""
        if not text.startswith("s3://"):
            raise ValueError(f"must be s3://bucket/key, not '{text}'")
        rest = text[len("s3://") :]
        access_point = _ACCESS_POINT.match(rest)
        if access_point:
            return cls(access_point.group(1), access_point.group(2) or "")
        directory_bucket = _DIRECTORY_BUCKET.match(rest)
        if directory_bucket:
            return cls(directory_bucket.group(1), directory_bucket.group(2) or "")
        bucket, _, key = rest.partition("/")
        if not _BUCKET.match(bucket):
            raise ValueError(f"'{bucket}' is not a bucket name in '{text}'")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """Does it name a folder or a whole bucket rather than one object?"""
        return not self.key or self.key.endswith("/")

    def as_folder(self) -> S3Uri:
        """The folder of this name: with ``/`` at its end."""
        return self if self.is_prefix else self.join("/")

    @property
    def in_directory_bucket(self) -> bool:
        """Is it in a directory bucket? Those list in no order, and know neither tags nor versions (S3 user guide, S3 Express One Zone)."""
        return self.bucket.endswith(("--x-s3", "--xa-s3"))

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rsplit("/", 1)[-1]

    def join(self, relative: str) -> S3Uri:
        """The object ``relative`` under this prefix."""
        return S3Uri(self.bucket, self.key + relative)


@dataclass(frozen=True)
class RoleArn:
    """The parts of a role's ARN. ``path_and_name`` keeps the path, which assumed-role ARNs drop."""

    partition: str
    account: str
    path_and_name: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RoleArn:
        """Read a role ARN. Raises ValueError with what is wrong."""
        found = _ROLE_ARN.match(text)
        if not found:
            raise ValueError(
                f"'{text}' is not a role ARN such as arn:aws:iam::111122223333:role/name"
            )
        return cls(*found.groups())


@dataclass(frozen=True)
class Role:
    """Everything that makes a role session what it is: two equal roles share one session.

    ``name`` is what the spec calls it and takes no part in the comparison. ``arn`` is empty for the job's own role.
    ``duration`` is in seconds. Only ``region`` of the client-side settings belongs here: STS is called there.
    """

    arn: str
    name: str = field(default="", compare=False)
    via: Optional[Role] = None
    session_name: str = ""
    external_id: str = ""
    duration: int = 3600
    policy: str = ""
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str = ""
    region: str = ""
    sts_endpoint: str = ""
    account: str = ""
    step: str = ""
    """The step that alone has this session; empty where all of the role's steps share one."""

    @property
    def is_job(self) -> bool:
        """Is this the job's own role, used without AssumeRole?"""
        return not self.arn

    @property
    def is_plain(self) -> bool:
        """Does it ask for nothing beyond the role itself, so that the job's own session would do?"""
        return not (
            self.via or self.policy or self.policy_arns or self.tags or self.source_identity
        )

    def __str__(self) -> str:
        return self.name or self.arn or "job"


JOB = Role(arn="", name="job")
"""The role that the job itself runs as."""
AUTO, PER_STEP = "auto", "auto-per-step"
"""A role's ``policy`` as the spec says it, where the plan makes one from its steps: one for all of them, or one for each."""


Condition = tuple[str, str, tuple[str, ...]]
"""Operator, key and values of a policy's Condition."""


@dataclass(frozen=True)
class Permission:
    """One IAM permission that a step needs: an action on a resource, under conditions."""

    action: str
    resource: str
    condition: tuple[Condition, ...] = ()
    reason: str = field(default="", compare=False)


@dataclass(frozen=True)
class DeclaredPermission:
    """Permissions that a step states: actions on resources under conditions, for one of its role fields (empty: for each)."""

    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    """ARNs; they may be templates."""
    condition: tuple[Condition, ...] = ()
    role_field: str = ""


@dataclass(frozen=True)
class Retry:
    """``attempts`` in all, ``delay`` seconds before the second, times ``backoff`` for each further one, ``max_delay`` at most."""

    attempts: int = 1
    delay: float = 2.0
    backoff: float = 2.0
    max_delay: float = 60.0


@dataclass(frozen=True)
class Step:
    """One step as the spec says it. ``fields`` may hold templates, which are filled in when the step starts."""

    id: str
    action: str
    fields: Mapping[str, Any]
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Role field of the action (``role``, ``source_role`` ...) -> role."""
    needs: tuple[str, ...] = ()
    """Ids of the steps it waits for: those it says, those it reads from, else the open ends of all before it."""
    references: frozenset[str] = frozenset()
    """Ids of the steps whose outputs its fields read."""
    when: Any = "on_success"
    """on_success, on_failure, always, or a Template that gives true or false."""
    for_each: Any = None
    """A list (it may hold templates) or a Template that gives one: the step is done once for each ``item``. None: once."""
    max_parallel: int = 0
    """How many items of ``for_each`` at once; 0: as many as the job's max_parallel."""
    retry: Retry = Retry()
    timeout: Optional[float] = None
    """Seconds that all attempts together may take."""
    attempt_timeout: Optional[float] = None
    """Seconds that one attempt may take."""
    on_error: str = "fail"
    description: str = ""
    permissions: tuple[DeclaredPermission, ...] = ()
    """What it needs besides what its fields tell."""
    secret_outputs: tuple[str, ...] = ()
    """Outputs that are secrets, besides those that are by themselves."""
    mark: Mark = NOWHERE

    @property
    def role(self) -> Optional[Role]:
        """The step's first role, None for a step that has none."""
        return next(iter(self.roles.values()), None)


@dataclass(frozen=True)
class StateLocation:
    """Where the state of runs is kept: a folder of this machine, or a prefix in S3 under a role. ``stale_after`` in seconds."""

    location: str
    role: Optional[Role] = None
    stale_after: float = 120.0


@dataclass(frozen=True)
class GlueSettings:
    """How the job is deployed to AWS Glue. Names are empty where the spec says none."""

    runtime: str = "pythonshell"
    job_name: str = ""
    role: str = ""
    artifacts: Optional[S3Uri] = None
    """A prefix."""
    region: str = ""
    capacity: Optional[float] = None
    """DPU, of Python Shell."""
    worker_type: str = ""
    workers: int = 0
    timeout: int = 120
    """Minutes after which Glue kills a run."""
    max_concurrent_runs: int = 1
    params: Mapping[str, str] = field(default_factory=dict)
    """Params of runs that do not give their own, as text."""
    fixed_params: Mapping[str, str] = field(default_factory=dict)
    result: str = ""
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    security_configuration: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Glue's own."""


@dataclass(frozen=True)
class Job:
    """A whole spec, checked, its params filled in."""

    name: str
    steps: tuple[Step, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    description: str = ""
    assume: str = "first"
    max_parallel: int = 4
    on_failure: str = "stop"
    """stop: after a failed step no other begins; finish: those that do not depend on it still run."""
    deadline: Optional[float] = None
    """Seconds after the start past which no step begins."""
    state: Optional[StateLocation] = None
    glue: Optional[GlueSettings] = None
    engine: str = "fast"
    """What moves objects: fast or boto3."""
    memory: Optional[int] = None
    """Bytes that the process should stay below."""
    file: str = ""
    includes: tuple[str, ...] = ()
    """Files of roles that it includes, relative to its own."""
    secret_params: frozenset[str] = frozenset()
    undecided: tuple[str, ...] = ()
    """Roles, and ``state``, that hang on params which were not given: they are in nothing else here."""


@dataclass(frozen=True)
class PlannedStep:
    """A step in its place in the order, with what is known of it before anything runs."""

    step: Step
    fields: Mapping[str, Any]
    """The fields with all that is known filled in; what is not known yet stands as ``${{ ... }}``."""
    permissions: Mapping[str, tuple[Permission, ...]] = field(default_factory=dict)
    """Role field -> permissions."""
    notes: tuple[str, ...] = ()
    """What is not known before the run, so that the permissions are wider than the step will need, or are not all of them."""


@dataclass(frozen=True)
class Use:
    """A permission and who needs it: the id of a step, ``state``, or ``via ALIAS``."""

    permission: Permission
    by: str


@dataclass(frozen=True)
class Plan:
    """A job, ready to run: printing it is the dry run."""

    job: Job
    steps: tuple[PlannedStep, ...]
    roles: tuple[Role, ...]
    """Every distinct role that is assumed, sources before those reached through them."""
    state: tuple[Permission, ...] = ()
    """What the role of the state needs."""
    uses: Mapping[Role, tuple[Use, ...]] = field(default_factory=dict)
    """Role -> what it needs and for what: every permission of every step, the state's, and sts:AssumeRole on what is reached through it."""
    narrowed: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Role whose session policy is made from its steps -> how that policy had to be widened to fit."""


@dataclass(frozen=True)
class Failure:
    """Why a step failed: ``type`` for machines, ``message`` and ``hint`` for people."""

    type: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class StepResult:
    """How one step ended: succeeded, warning, failed, skipped or not_run. ``seconds`` is wall time."""

    id: str
    action: str
    role: str
    status: StepStatus
    attempts: int = 0
    seconds: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: Optional[Failure] = None
    reason: str = ""
    """Why it was skipped."""
    was: Literal["", "succeeded", "warning", "failed", "skipped", "not_run"] = ""
    """Of a step that an earlier run has done: how it ended then."""


@dataclass(frozen=True)
class RoleUse:
    """Who a role's steps were, as CloudTrail shows it, and what it cost."""

    role: str
    arn: str
    session_arn: str
    assume_calls: int
    step: str = ""
    """The step that alone had this session; empty where all of the role's steps shared one."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended: succeeded, warning, failed or stopped. ``started`` is UTC in ISO 8601."""

    run_id: str
    job: str
    status: RunStatus
    started: str
    seconds: float
    roles: tuple[RoleUse, ...]
    steps: tuple[StepResult, ...]
    error: Optional[Failure] = None
    """Why no step ran (a wrong spec, a role that was refused), or why the run had to stop: it lost the lock of its run key."""
