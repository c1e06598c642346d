"""Resolves the spec's glue section and the command line into a job definition."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolerunner.errors import UsageError
from rolerunner.glue.bundle.builder import SCRIPT
from rolerunner.glue.deploy.triggers import define_trigger
from rolerunner.glue.launch.arguments import join_environment
from rolerunner.glue.launch.job_settings import DEADLINE_SHARE
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.model import GlueSettings
from rolerunner.spec.glue_fields import GlueFields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.bundle.builder import Bundle
    from rolerunner.glue.deploy.rules import Rule
    from rolerunner.model import Job, S3Uri


_OF_ONE_RUNTIME = ("capacity", "worker_type", "workers", "execution_class", "maintenance_window")


@dataclass(frozen=True)
class JobDefinition:
    """A desired Glue job; ``job`` holds the fields of JobUpdate that rolerunner sets."""

    name: str
    job: Mapping[str, Any]
    tags: Mapping[str, str]
    rules: tuple[Rule, ...] = ()
    """Rules that tell the targets of ``notify`` of ends that the job cannot tell of."""
    trigger: Mapping[str, Any] = field(default_factory=dict)
    """The parameters of CreateTrigger; empty if nothing starts the job by itself."""


def resolve_settings(job: Job, flags: Mapping[str, Any]) -> GlueSettings:
    """Returns the spec's settings, overridden by validated flags. Raises UsageError."""
    given_settings = {
        name: value for name, value in asdict(job.glue or GlueSettings()).items() if value
    }
    for name in ("timeout", "notify_delay_after"):
        if name in given_settings:
            given_settings[name] = given_settings[name] * 60.0
    after = given_settings.get("after")
    if after is not None:
        given_settings["after"] = {**after, "jobs": [*after["jobs"]]}
    given_settings.update(
        {name: list(value) for name, value in given_settings.items() if isinstance(value, tuple)}
    )
    if job.glue is not None and job.glue.artifacts is not None:
        given_settings["artifacts"] = str(job.glue.artifacts)
    given = {name: value for name, value in flags.items() if value}
    if given.get("runtime", given_settings["runtime"]) != given_settings["runtime"]:
        given_settings = {
            name: value for name, value in given_settings.items() if name not in _OF_ONE_RUNTIME
        }
    try:
        return GlueFields.model_validate({**given_settings, **given}).settings()
    except ValidationError as error:
        wrong = [
            (".".join(map(str, each["loc"])), str(each.get("ctx", {}).get("error") or each["msg"]))
            for each in error.errors()
        ]
        raise UsageError(
            "; ".join(message if not name else f"'{name}' {message}" for name, message in wrong)
        ) from None


def job_name(job: Job, settings: GlueSettings) -> str:
    """Returns the name of the Glue job, which defaults to the spec's."""
    return settings.job_name or job.name


def artifact_prefix(job: Job, settings: GlueSettings) -> S3Uri:
    """Returns the prefix of all of a job's artifacts. Raises UsageError."""
    if settings.artifacts is None:
        raise UsageError(
            "no prefix for artifacts: set 'artifacts: s3://bucket/prefix/' under 'glue' "
            "in the spec, or --artifacts"
        )
    return settings.artifacts.join(f"{job_name(job, settings)}/")


def define_job(
    job: Job, settings: GlueSettings, bundle: Bundle, place: str, region: str
) -> JobDefinition:
    """Returns the job that runs the bundle at ``place``, a URI that ends with /.

    Raises UsageError.
    """
    if not settings.role:
        raise UsageError(
            "no role for the Glue job: set 'role' under 'glue' in the spec, or --job-role"
        )
    runtime = RUNTIMES[settings.runtime]
    found = bundle.arguments(place, runtime)
    job_spec = join_environment(found.pop("--job_spec"), job.environment)
    fixed = {"--job_spec": job_spec, **_as_arguments(settings.fixed_params)}
    size: dict[str, Any] = (
        {"WorkerType": settings.worker_type, "NumberOfWorkers": settings.workers}
        if runtime.is_spark
        else {"MaxCapacity": settings.capacity}
    )
    optional: dict[str, Any] = {
        "Description": job.description,
        "Connections": {"Connections": list(settings.connections)}
        if settings.connections
        else None,
        "SecurityConfiguration": settings.security_configuration,
        "ExecutionClass": settings.execution_class,
        "JobRunQueuingEnabled": settings.queue_runs,
        "MaintenanceWindow": settings.maintenance_window,
        "NotificationProperty": {"NotifyDelayAfter": settings.notify_delay_after}
        if settings.notify_delay_after
        else None,
    }
    properties = {
        "Role": settings.role,
        "Command": {
            "Name": runtime.command,
            "ScriptLocation": f"{place}{SCRIPT}",
            "PythonVersion": runtime.python_version,
        },
        "GlueVersion": runtime.glue_version,
        **size,
        "Timeout": settings.timeout,
        # a retry would run the whole script again under a new id; steps have retries of their own
        "MaxRetries": 0,
        "ExecutionProperty": {"MaxConcurrentRuns": settings.max_concurrent_runs},
        "DefaultArguments": {
            **found,
            **_entry_arguments(settings, region),
            **_as_arguments(settings.params),
            **settings.arguments,
        },
        "NonOverridableArguments": fixed,
        **{name: value for name, value in optional.items() if value},
    }
    name = job_name(job, settings)
    return JobDefinition(
        name, properties, dict(settings.tags), trigger=define_trigger(name, settings)
    )


def _entry_arguments(settings: GlueSettings, region: str) -> dict[str, str]:
    """Returns arguments of the entry script that a run may override."""
    seconds = int(settings.timeout * 60 * DEADLINE_SHARE)
    return {
        "--deadline": f"{seconds}s",
        "--aws_region": region,
        **({"--result": settings.result} if settings.result else {}),
    }


def _as_arguments(params: Mapping[str, str]) -> dict[str, str]:
    return {f"--{name}": value for name, value in params.items()}
