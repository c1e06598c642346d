"""Settings of a job besides its steps: state, notifications, telemetry, AWS Glue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model.identifiers import S3Uri
from rolerunner.model.roles import Role


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
