"""A job, and where its secret params come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model.roles import JOB, Role
from rolerunner.model.settings import GlueSettings, Notification, StateLocation, Telemetry
from rolerunner.model.steps import Step

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
