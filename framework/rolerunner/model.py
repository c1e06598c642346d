"""The values that all modules share: frozen, without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, Optional, Union

from rolerunner.errors import Mark
from rolerunner.lazy_dataclass import dataclass

StepStatus = Literal["succeeded", "warning", "failed", "skipped", "not_run"]
"""The final status of a step."""
RunStatus = Literal["succeeded", "warning", "failed", "stopped"]
"""The final status of a run."""
NOWHERE = Mark("", 0, 0)
_ROLE_ARN = re.compile(
    r"arn:(aws[a-z-]*):iam::(\d{12}):role/((?:[\x21-\x7e]+/)?([\w+=,.@-]{1,64}))\Z", re.ASCII
)
_ACCESS_POINT = re.compile(
    r"(arn:aws[a-z-]*:(?:(?:s3|s3-object-lambda):[a-z0-9-]*:\d*:accesspoint"
    r"|s3-outposts:[a-z0-9-]+:\d+:outpost/[^/]+/accesspoint)/[^/]+)(?:/(.*))?\Z",
    re.DOTALL,
)
_DIRECTORY_BUCKET = re.compile(
    r"arn:aws[a-z-]*:s3express:[a-z0-9-]+:\d{12}:(?:bucket|accesspoint)/([^/]+)(?:/(.*))?\Z",
    re.DOTALL,
)
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}\Z")


@dataclass(frozen=True, order=True)
class S3Uri:
    """``s3://bucket/key``. The bucket may be an access point's ARN, the key empty or a prefix.

    A directory bucket, or an access point to one, has its name, as S3 requires.
    Its ARN is parsed too.
    """

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Parses ``s3://...``. Raises ValueError."""
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
        """True if it names a folder or a bucket, not an object."""
        return not self.key or self.key.endswith("/")

    def as_folder(self) -> S3Uri:
        """Returns the URI with ``/`` at its end."""
        return self if self.is_prefix else self.join("/")

    @property
    def in_directory_bucket(self) -> bool:
        """True in a directory bucket, which lists in no order and has neither tags nor versions.

        See the S3 user guide, S3 Express One Zone.
        """
        return self.bucket.endswith(("--x-s3", "--xa-s3"))

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rsplit("/", 1)[-1]

    def join(self, relative: str) -> S3Uri:
        """Returns the object ``relative`` under this prefix."""
        return S3Uri(self.bucket, self.key + relative)


@dataclass(frozen=True)
class RoleArn:
    """The parts of a role's ARN. ``path_and_name`` keeps the path, which assumed-role ARNs omit."""

    partition: str
    account: str
    path_and_name: str
    name: str

    @classmethod
    def parse(cls, text: str) -> RoleArn:
        """Parses a role ARN. Raises ValueError."""
        found = _ROLE_ARN.match(text)
        if not found:
            raise ValueError(
                f"'{text}' is not a role ARN such as arn:aws:iam::111122223333:role/name"
            )
        return cls(*found.groups())


@dataclass(frozen=True)
class Role:
    """All settings of a role session. Equal roles share one session."""

    arn: str
    """The role's ARN; empty for the job's own role."""
    name: str = field(default="", compare=False)
    """The alias in the spec, which is not compared."""
    via: Optional[Role] = None
    """The role under which this one is assumed; None: the job's own."""
    session_name: str = ""
    """The session's name; empty: made of the job's name and the run's id."""
    external_id: str = ""
    """The external ID that the trust policy requires."""
    duration: int = 3600
    """Seconds until the session ends and is renewed."""
    policy: str = ""
    """The session policy as JSON."""
    policy_arns: tuple[str, ...] = ()
    """ARNs of managed session policies."""
    tags: tuple[tuple[str, str], ...] = ()
    """Session tags: keys and values."""
    transitive_tag_keys: tuple[str, ...] = ()
    """Keys of the tags that chained sessions keep."""
    source_identity: str = ""
    """The source identity, as CloudTrail shows it."""
    region: str = ""
    """The region in which STS is called; empty: the job's."""
    sts_endpoint: str = ""
    """The URL of STS; empty: that of the region."""
    account: str = ""
    """The account that the role must belong to; empty: any."""
    step: str = ""
    """The only step with this session; empty if all steps of the role share one."""

    @property
    def is_job(self) -> bool:
        """True for the job's own role, which is used without AssumeRole."""
        return not self.arn

    @property
    def is_plain(self) -> bool:
        """True if the job's own session would do: nothing beyond the role itself is set."""
        return not (
            self.via or self.policy or self.policy_arns or self.tags or self.source_identity
        )

    def __str__(self) -> str:
        return self.name or self.arn or "job"


JOB = Role(arn="", name="job")
"""The role that the job itself runs as."""
AUTO, PER_STEP = "auto", "auto-per-step"
"""A role's ``policy`` in the spec if the plan generates it: one for all steps, or one for each."""


Condition = tuple[str, str, tuple[str, ...]]
"""Operator, key and values of a policy's Condition."""


@dataclass(frozen=True)
class Permission:
    """An IAM permission that a step needs: an action on a resource, under conditions."""

    action: str
    """The IAM action, such as s3:GetObject."""
    resource: str
    """The ARN, in which * matches any text."""
    condition: tuple[Condition, ...] = ()
    """Operators, keys and values of the condition."""
    reason: str = field(default="", compare=False)
    """Why it is needed; empty if the action says it."""


@dataclass(frozen=True)
class DeclaredPermission:
    """Permissions that a step declares: actions on resources, under conditions.

    ``role_field`` names the role that needs them; empty: every role of the step.
    """

    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    """ARNs; they may be templates."""
    condition: tuple[Condition, ...] = ()
    role_field: str = ""


@dataclass(frozen=True)
class Retry:
    """The number of attempts, and the seconds between them.

    ``delay`` seconds before the second of ``attempts``, ``backoff`` times as long before each
    further one, at most ``max_delay``.
    """

    attempts: int = 1
    delay: float = 2.0
    backoff: float = 2.0
    max_delay: float = 60.0


@dataclass(frozen=True)
class RoleChoice:
    """A role that the items of a step choose by its alias."""

    alias: Any
    """A Template that gives the alias for an item."""
    options: Mapping[str, Role]
    """Alias -> role, for every alias that an item may give. No other role is used."""


GROUP = "group"
"""Stands for the action of a group of steps, which has none."""


@dataclass(frozen=True)
class Step:
    """A step of the spec. Templates in ``fields`` are resolved when the step starts.

    A group has ``steps``, and runs them once for each item of ``for_each``.
    """

    id: str
    """The id in the spec; ``group.id`` inside a group, ``group[item].id`` for one of its items."""
    action: str
    """The action's name; group for a group of steps."""
    fields: Mapping[str, Any]
    """The fields of the action, as the spec has them."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Role field of the action (``role``, ``source_role`` ...) -> role."""
    role_choices: Mapping[str, RoleChoice] = field(default_factory=dict)
    """Role field -> the role that each item chooses."""
    needs: tuple[str, ...] = ()
    """Ids of the steps it waits for: declared, read from, or else the last ones before it."""
    references: frozenset[str] = frozenset()
    """Ids of the steps whose outputs its fields read."""
    when: Any = "on_success"
    """on_success, on_failure, always, or a Template that gives a boolean."""
    for_each: Any = None
    """A list, or a Template that gives one: the step runs once for each ``item``. None: once."""
    max_parallel: int = 0
    """Items of ``for_each`` at once; 0: the job's max_parallel."""
    steps: tuple[Step, ...] = ()
    """The steps of a group, which run for each item; empty for a step with an action."""
    max_failures: Union[int, str] = 0
    """Number (or percentage, such as ``10%``) of a group's items that may fail."""
    retry: Retry = Retry()
    """The number of tries of the step, and the errors after which it is tried again."""
    timeout: Optional[float] = None
    """Seconds that all attempts together may take."""
    attempt_timeout: Optional[float] = None
    """Seconds that one attempt may take."""
    on_error: str = "fail"
    """fail, or continue: a failure is a warning, and the run goes on."""
    description: str = ""
    """The purpose of the step."""
    permissions: tuple[DeclaredPermission, ...] = ()
    """Permissions besides those derived from the fields."""
    secret_outputs: tuple[str, ...] = ()
    """Outputs declared as secret."""
    mark: Mark = NOWHERE
    """The place in the spec."""

    @property
    def role(self) -> Optional[Role]:
        """The step's first role; None if it has none, or if its items choose it."""
        return next(iter(self.roles.values()), None)

    @property
    def role_name(self) -> str:
        """The alias of its first role, or the aliases that its items may choose."""
        if self.roles or not self.role_choices:
            return str(self.role or "")
        return ", ".join(next(iter(self.role_choices.values())).options)

    @property
    def several_roles(self) -> dict[str, str]:
        """Role field -> alias, of a step with different roles; empty for a step with one."""
        names = {field: str(role) for field, role in sorted(self.roles.items())}
        return names if len(set(names.values())) > 1 else {}

    @property
    def all_roles(self) -> tuple[Role, ...]:
        """Every role that the step or a step of the group may use, repeated ones included."""
        chosen = (role for each in self.role_choices.values() for role in each.options.values())
        inner = (role for step in self.steps for role in step.all_roles)
        return (*self.roles.values(), *chosen, *inner)


SecretService = Literal["secretsmanager", "ssm"]
"""boto3's name of a service from which secret params are fetched."""


@dataclass(frozen=True)
class TextRules:
    """The rules that the value of a text param satisfies, as the spec declares them."""

    min: Any = None
    """Minimum number of characters."""
    max: Any = None
    """Maximum number of characters."""
    pattern: Optional[str] = None
    """A regular expression that the whole text must match."""
    choices: Optional[tuple[Any, ...]] = None
    type: str = "string"


@dataclass(frozen=True)
class SecretSource:
    """The place of a secret param's value, which a run fetches before its first step."""

    param: str
    service: SecretService
    name: str
    """Name or ARN of the secret or parameter, with the version of a parameter if it has one."""
    json_key: Optional[str] = None
    """The key of the JSON object in which the value stands; None: the value is the whole text."""
    role: Role = JOB
    kms_key: str = ""
    """ARN, id or alias of its KMS key, if the role needs a permission on it."""
    rules: TextRules = TextRules()

    @property
    def region(self) -> str:
        """The region that its ARN names; empty for a name, which is of the role's region."""
        return self.name.split(":")[3] if self.name.startswith("arn:") else ""

    @property
    def user(self) -> str:
        """The user of its permissions, beside the ids of steps."""
        return f"param {self.param}"

    def __str__(self) -> str:
        key = "" if self.json_key is None else f"#{self.json_key}"
        return f"{self.service}:{self.name}{key}"


@dataclass(frozen=True)
class StateLocation:
    """The location of the state of runs: a folder, or a prefix in S3 under a role.

    ``stale_after`` is in seconds.
    """

    location: str
    role: Optional[Role] = None
    stale_after: float = 120.0


NotifyEvent = Literal["succeeded", "warning", "failed", "refused", "stopped", "invalid"]
"""The end of a run that a notification can be sent for."""
NotifyKind = Literal["sns", "event", "sqs", "webhook"]
"""The kind of a notification's target."""


@dataclass(frozen=True)
class Notification:
    """A target that is told how a run ended."""

    on: tuple[NotifyEvent, ...]
    """The ends that it is told of."""
    kind: NotifyKind
    target: Any
    """An ARN, or the name of an event bus. Of a webhook: its URL, a secret, or a Template."""
    role: Optional[Role] = None
    """The role that sends it; None for a webhook."""
    key: str = ""
    """The KMS key of an encrypted topic or queue."""
    rule_role: str = ""
    """ARN of the role under which EventBridge puts Glue's own events on the bus."""
    number: int = 0
    """Its position in the spec."""

    @property
    def label(self) -> str:
        """The name of it in messages; the URL of a webhook is a secret."""
        where = f"notify[{self.number}]" if self.kind == "webhook" else self.target
        return f"{self.kind} {where}"


@dataclass(frozen=True)
class EmfSettings:
    """Metrics as lines of CloudWatch's embedded metric format on stdout."""

    namespace: str = ""
    """The namespace of the metrics; empty: that of the environment, or rolerunner."""


@dataclass(frozen=True)
class OpenLineageSettings:
    """Lineage, sent to a server of OpenLineage."""

    namespace: str = ""
    """The namespace of the jobs; empty: that of the environment, or default."""
    url: str = ""
    """The server; empty: the one that the environment configures."""


@dataclass(frozen=True)
class OtlpSettings:
    """Traces, sent by OTLP over HTTP."""

    endpoint: str = ""
    """The address that spans are posted to; empty for that of the environment."""


@dataclass(frozen=True)
class Telemetry:
    """Reports of a run to other systems; None for those that are off."""

    emf: Optional[EmfSettings] = None
    openlineage: Optional[OpenLineageSettings] = None
    otlp: Optional[OtlpSettings] = None
    is_partial: bool = False
    """True if a setting depends on a param without a value; it is then empty."""

    @property
    def reports(self) -> tuple[str, ...]:
        """The keys of ``telemetry`` that are on, which are the names of their extras, too."""
        switches = {"metrics": self.emf, "lineage": self.openlineage, "traces": self.otlp}
        return tuple(name for name, settings in switches.items() if settings is not None)


@dataclass(frozen=True)
class RunLocation:
    """The result file and the Glue job of a run; empty where there is none."""

    result: str = ""
    """Path or URI of the result file."""
    glue_job: str = ""
    """The name of the Glue job."""
    glue_run: str = ""
    """The id of the Glue job run."""


@dataclass(frozen=True)
class GlueAfter:
    """Glue jobs that start another one when all of them have ended: ``on`` says how."""

    jobs: tuple[str, ...]
    on: str = "succeeded"


@dataclass(frozen=True)
class GlueSettings:
    """Settings of the job in AWS Glue. Names are empty if the spec has none."""

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
    """Default params of runs, as text."""
    fixed_params: Mapping[str, str] = field(default_factory=dict)
    result: str = ""
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    security_configuration: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Glue's own."""
    schedule: str = ""
    """Glue's cron expression."""
    after: Optional[GlueAfter] = None
    execution_class: str = ""
    queue_runs: bool = False
    maintenance_window: str = ""
    notify_delay_after: int = 0
    """Minutes; 0: never."""


@dataclass(frozen=True)
class Job:
    """A checked spec with its params resolved."""

    name: str
    """The job's name."""
    steps: tuple[Step, ...]
    """The steps, in the order of the spec."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The params of the run, with the types that the spec declares."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Alias -> role."""
    description: str = ""
    """The purpose of the job."""
    assume: str = "first"
    """first: roles are assumed before the first step; lazily: when they are needed."""
    max_parallel: int = 4
    """Maximum number of steps that run at once."""
    on_failure: str = "stop"
    """stop: after a failed step no other starts; finish: steps that do not depend on it run."""
    deadline: Optional[float] = None
    """Seconds after the start of the run; no step starts later."""
    state: Optional[StateLocation] = None
    """The place of the state of runs; None if no state is kept."""
    notify: tuple[Notification, ...] = ()
    """The targets that are told how a run ended."""
    telemetry: Telemetry = Telemetry()
    """The metrics, lineage and traces that a run reports."""
    glue: Optional[GlueSettings] = None
    """The ``glue`` section; None if the spec has none."""
    engine: str = "fast"
    """The engine that moves objects: fast or boto3."""
    memory: Optional[int] = None
    """Memory limit of the process in bytes."""
    file: str = ""
    """The spec's file, or its ``s3://`` location."""
    includes: tuple[str, ...] = ()
    """Included files, relative to the spec."""
    secret_params: frozenset[str] = frozenset()
    """Names of the params that are secret."""
    secret_sources: tuple[SecretSource, ...] = ()
    """The sources of secret params, also of those whose value is given and among ``params``."""
    undecided: tuple[str, ...] = ()
    """Roles, ``state``, ``notify``, ``telemetry`` and sources of secrets that depend on params
    without a value.

    They appear nowhere else, but for ``telemetry``, whose settings are empty where they depend.
    """
    environment: str = ""
    """The environment whose values it has; empty for those of the spec itself."""
    environments: tuple[str, ...] = ()
    """The environments of the spec."""

    @property
    def full_name(self) -> str:
        """The name with the environment, which no two environments share."""
        return f"{self.name}.{self.environment}" if self.environment else self.name

    @property
    def title(self) -> str:
        """The name and the environment, for people."""
        return f"{self.name} ({self.environment})" if self.environment else self.name

    @property
    def action_steps(self) -> tuple[Step, ...]:
        """The steps with an action, in the order of the spec: for a group, the steps inside it."""
        return tuple(inner for step in self.steps for inner in step.steps or (step,))


@dataclass(frozen=True, order=True)
class Dataset:
    """Data that a step reads or writes, named as OpenLineage's naming of datasets says."""

    namespace: str
    """The store, such as ``s3://bucket``."""
    name: str
    """The data in it, such as a prefix without its last slash."""


@dataclass(frozen=True)
class StepDatasets:
    """The datasets that a step reads and writes, and the jobs of others that it starts."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    jobs: tuple[Dataset, ...] = ()
    """Jobs, each by its namespace and name."""


@dataclass(frozen=True)
class PlannedStep:
    """A step in its order, with what is known of it before the run.

    A step whose items choose their roles is planned once for each role.
    """

    step: Step
    """The step."""
    fields: Mapping[str, Any]
    """The fields; values that are not known yet stand as ``${{ ... }}``."""
    permissions: Mapping[str, tuple[Permission, ...]] = field(default_factory=dict)
    """Role field -> permissions."""
    notes: tuple[str, ...] = ()
    """Values unknown before the run, so that permissions are too wide or incomplete."""
    items: tuple[str, ...] = ()
    """Labels of the items that this holds for, where items choose their roles; empty: all."""
    datasets: tuple[StepDatasets, ...] = ()
    """Data outside of S3 and the Data Catalog, of each item: no permission names it."""


@dataclass(frozen=True)
class PlannedSecret:
    """A secret param that a run fetches, with the permissions for it."""

    source: SecretSource
    permissions: tuple[Permission, ...]


@dataclass(frozen=True)
class PlannedNotification:
    """A notification, and the permissions that its role needs."""

    notification: Notification
    permissions: tuple[Permission, ...] = ()


@dataclass(frozen=True)
class Use:
    """A permission and what needs it.

    That is a step's id, ``state``, ``notify``, ``param NAME`` or ``role ALIAS``.
    """

    permission: Permission
    by: str


@dataclass(frozen=True)
class Plan:
    """A job, ready to run. Printing it is the dry run."""

    job: Job
    """The job."""
    steps: tuple[PlannedStep, ...]
    """The steps with an action, in their order, each with its fields, permissions and notes."""
    roles: tuple[Role, ...]
    """Every distinct role to assume; source roles come before the roles reached through them."""
    state: tuple[Permission, ...] = ()
    """Permissions of the state's role."""
    uses: Mapping[Role, tuple[Use, ...]] = field(default_factory=dict)
    """Role -> all its permissions: of steps, secrets, the state, and to assume chained roles."""
    narrowed: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Role with a generated session policy -> how that policy was widened to fit."""
    secrets: tuple[PlannedSecret, ...] = ()
    """The secret params that the run fetches before its first step."""
    notify: tuple[PlannedNotification, ...] = ()
    """The notifications of the job, with their permissions."""
    optional_roles: frozenset[Role] = frozenset()
    """Roles that only notifications need. The run goes on if they are refused."""


@dataclass(frozen=True)
class Failure:
    """The failure of a step: ``type`` for machines, ``message`` and ``hint`` for people."""

    type: str
    """The kind of failure, such as AccessDenied."""
    message: str
    """One sentence: where, and what."""
    hint: str = ""
    """The remedy."""


@dataclass(frozen=True)
class ItemResult:
    """The result of an item of a group."""

    item: str
    """The item's label: its name, or # and its position."""
    status: StepStatus
    """succeeded, warning, failed, skipped or not_run."""
    steps: tuple[StepResult, ...]
    """The results of the group's steps for this item."""


@dataclass(frozen=True)
class StepResult:
    """The result of a step. ``seconds`` is wall time."""

    id: str
    """The step's id."""
    action: str
    """The step's action."""
    role: str
    """The alias of the step's first role; empty for a step without one."""
    status: StepStatus
    """succeeded, warning, failed, skipped or not_run."""
    attempts: int = 0
    """Number of attempts."""
    seconds: float = 0.0
    """Wall time of all attempts together."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """The step's outputs, by name."""
    error: Optional[Failure] = None
    """Why it failed, or why it is a warning."""
    reason: str = ""
    """Why it was skipped."""
    was: Literal["", "succeeded", "warning", "failed", "skipped", "not_run"] = ""
    """The step's status in the earlier run that did it."""
    items: tuple[ItemResult, ...] = ()
    """The results of a group's items, in their order."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Role field -> alias, of a step with different roles."""

    @property
    def role_names(self) -> tuple[str, ...]:
        """The aliases of its roles."""
        return tuple(dict.fromkeys(self.roles.values())) or ((self.role,) if self.role else ())


@dataclass(frozen=True)
class RoleUse:
    """The session of a role, as CloudTrail shows it, and the number of AssumeRole calls."""

    role: str
    """The role's alias."""
    arn: str
    """The role's ARN."""
    session_arn: str
    """The ARN of the session, as CloudTrail shows it."""
    assume_calls: int
    """Number of AssumeRole calls."""
    step: str = ""
    """The only step with this session; empty if all steps of the role share one."""


@dataclass(frozen=True)
class RunResult:
    """The result of a run. ``started`` is UTC in ISO 8601."""

    run_id: str
    """The run's id."""
    job: str
    """The job's name."""
    status: RunStatus
    """succeeded, warning, failed or stopped."""
    started: str
    """The start of the run."""
    seconds: float
    """Wall time of the run."""
    roles: tuple[RoleUse, ...]
    """The sessions of the run."""
    steps: tuple[StepResult, ...]
    """The results of the steps, in the order of the plan."""
    error: Optional[Failure] = None
    """Why no step ran (wrong spec, refused role), or why the run stopped (lost lock)."""
    environment: str = ""
    """The environment of the run; empty without one."""
    selected: tuple[str, ...] = ()
    """The steps, groups and parts of groups that ``only`` selected; empty for a whole run."""

    @property
    def action_steps(self) -> tuple[StepResult, ...]:
        """The results of the steps with an action: for a group, of its steps for each item."""
        found: list[StepResult] = []
        for step in self.steps:
            found += [each for item in step.items for each in item.steps] if step.items else [step]
        return tuple(found)
