"""Models the ``glue`` section of a spec, which says how the job is deployed to AWS Glue."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Optional

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rolerunner.model import GlueSettings, RoleArn, S3Uri
from rolerunner.spec.field_types import S3Location, Seconds, StrictModel, json_form
from rolerunner.spec.glue_arguments import (
    LIBRARY_SET,
    format_arguments,
    is_for_glue,
    normalize_arguments,
)
from rolerunner.spec.glue_start import JOB_NAME, LONGEST_STARTED_NAME, AfterFields, Schedule

_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}\Z", re.ASCII)
_WORKER = re.compile(r"[A-Z]\.\d+X\Z")
_GLUE_ARGUMENT = re.compile(r"--([A-Za-z][A-Za-z0-9_.-]*)\Z|library-set\Z")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}\Z")
_WINDOW = re.compile(r"(Sun|Mon|Tue|Wed|Thu|Fri|Sat):([01]?[0-9]|2[0-3])\Z")
_FLEX_WORKERS = ("G.1X", "G.2X")
"""Worker types of flexible execution (AWS Glue developer guide)."""
_OF_SPARK = ("worker_type", "workers", "execution_class", "maintenance_window")
"""Fields that Python Shell does not have."""
_LONGEST = 7 * 24 * 3600.0
"""Maximum duration of a job run in seconds (AWS Glue developer guide: 7 days)."""
_MAX_TAGS = 50
LAKE_FORMATION = "--enable-lakeformation-fine-grained-access"
_LAKE_FORMATION_WORKERS = 4
"""Minimum number of workers with fine-grained access (AWS Glue developer guide)."""
_LAKE_FORMATION_RUNTIMES = ("glue-5.0", "glue-5.1", "glue-6.0")


def _require_pattern(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"must be {what}, not '{value}'")
        return value

    return BeforeValidator(check)


def _validate_role(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("arn:"):
        RoleArn.parse(value)
    elif isinstance(value, str) and not _ROLE_NAME.match(value):
        raise ValueError(f"must be a role's ARN or name, not '{value}'")
    return value


def _validate_minutes(value: Any) -> Any:
    if isinstance(value, float) and (value % 60 or not 60 <= value <= _LONGEST):  # noqa: PLR2004
        raise ValueError("must be a whole number of minutes, 1m to 7d")
    return value


def _validate_tags(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > _MAX_TAGS:
        raise ValueError(f"must have at most {_MAX_TAGS} tags, not {len(value)}")
    return value


def _validate_arguments(value: Any) -> Any:
    for name in value if isinstance(value, dict) else ():
        if not isinstance(name, str) or not _GLUE_ARGUMENT.match(name):
            raise ValueError(f"must be arguments of Glue such as --enable-metrics, not '{name}'")
        if not is_for_glue(name.lstrip("-")):
            raise ValueError(
                f"must be arguments of Glue, which '{name}' is not: set params of the spec "
                "under 'params'"
            )
    if isinstance(value, dict) and {LIBRARY_SET, f"--{LIBRARY_SET}"} <= {*value}:
        raise ValueError(f"has '{LIBRARY_SET}' in two spellings: write {LIBRARY_SET}")
    return value


class GlueFields(StrictModel):
    """Settings of the job in AWS Glue."""

    runtime: Literal["pythonshell", "glue-4.0", "glue-5.0", "glue-5.1", "glue-6.0"] = Field(
        "pythonshell",
        description="Python Shell, or the Glue version of a Spark job.",
        examples=["pythonshell", "glue-5.1"],
    )
    job_name: Annotated[
        Optional[str], _require_pattern(JOB_NAME, "a name without '/' of up to 255 characters")
    ] = Field(
        None,
        description="The name of the Glue job; the spec's name by default.",
        examples=["nightly-orders"],
    )
    role: Annotated[Optional[str], BeforeValidator(_validate_role)] = Field(
        None,
        description="The IAM role that the Glue job runs as: its ARN or name.",
        examples=["arn:aws:iam::111122223333:role/glue-nightly"],
    )
    artifacts: Optional[S3Location] = Field(
        None,
        description="The prefix to which deploy uploads the spec, the script and the wheels.",
        examples=["s3://ops-bucket/rolerunner/"],
    )
    region: Annotated[Optional[str], _require_pattern(_REGION, "a region such as eu-west-1")] = (
        Field(
            None,
            description="The region of the Glue job; by default that of your AWS settings.",
            examples=["eu-west-1"],
        )
    )
    capacity: Annotated[Optional[float], json_form(enum=[0.0625, 1])] = Field(
        None,
        description="Python Shell: 0.0625 (1 GB of memory, the default) or 1 (16 GB) DPU.",
        examples=[0.0625, 1],
    )
    worker_type: Annotated[
        Optional[str], _require_pattern(_WORKER, "a worker type such as G.1X")
    ] = Field(
        None,
        description="Spark: the type of each worker; G.1X by default.",
        examples=["G.1X", "G.2X"],
    )
    workers: Annotated[Optional[int], Field(ge=2, le=5000)] = Field(
        None,
        description="Spark: number of workers, including the driver's; 2 by default.",
        examples=[2, 10],
    )
    timeout: Annotated[Seconds, AfterValidator(_validate_minutes)] = Field(
        7200.0,
        description="Time after which Glue kills a run; no step starts after 95 % of it. "
        "A number without a unit is seconds, not minutes as in Glue's API.",
        examples=["2h"],
    )
    max_concurrent_runs: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Maximum number of runs of the job at once.", examples=[1]
    )
    schedule: Optional[Schedule] = Field(
        None,
        description="When Glue starts a run, in UTC: "
        "cron(minutes hours day-of-month month day-of-week year).",
        examples=["cron(0 3 * * ? *)"],
    )
    after: Optional[AfterFields] = Field(
        None,
        description="Other Glue jobs whose end starts a run.",
        examples=[{"jobs": ["extract"], "on": "succeeded"}],
    )
    queue_runs: bool = Field(
        False,
        description="Whether runs wait, instead of failing, while the account's limits are "
        "reached.",
        examples=[True],
    )
    notify_delay_after: Optional[Annotated[Seconds, AfterValidator(_validate_minutes)]] = Field(
        None,
        description="Time after which Glue sends an event that a run is late.",
        examples=["45m"],
    )
    execution_class: Optional[Literal["STANDARD", "FLEX"]] = Field(
        None,
        description="Spark: FLEX runs on spare capacity, for less and with no promised start.",
        examples=["FLEX"],
    )
    maintenance_window: Annotated[
        Optional[str], _require_pattern(_WINDOW, "a day and an hour in UTC such as Sun:2")
    ] = Field(
        None,
        description="Spark: when Glue may restart a streaming job for maintenance, in UTC.",
        examples=["Sun:2"],
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of params that a run may override.",
        examples=[{"country": "nz"}],
    )
    fixed_params: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of params that no run may override.",
        examples=[{"stage": "prod"}],
    )
    result: Optional[S3Location] = Field(
        None,
        description="Where runs write their result: "
        "a prefix, with one file for each run, or a key.",
        examples=["s3://ops-bucket/results/"],
    )
    requirements: list[str] = Field(
        default_factory=list,
        description="Requirements of your functions beyond the runtime's packages, "
        "in pip's format.",
        examples=[["pyarrow==14.0.2", "./wheels/orders-1.0-py3-none-any.whl"]],
    )
    packages: list[str] = Field(
        default_factory=list,
        description="Folders of your own Python packages, relative to the spec; "
        "those of python.call steps are found without it.",
        examples=[["jobs"]],
    )
    connections: list[str] = Field(
        default_factory=list,
        description="Names of Glue connections, such as one to a VPC.",
        examples=[["vpc-private"]],
    )
    security_configuration: Optional[str] = Field(
        None, description="The name of a Glue security configuration.", examples=["encrypted-logs"]
    )
    tags: Annotated[dict[str, str], AfterValidator(_validate_tags)] = Field(
        default_factory=dict, description="Tags of the Glue job.", examples=[{"team": "orders"}]
    )
    arguments: Annotated[dict[str, str], BeforeValidator(_validate_arguments)] = Field(
        default_factory=dict,
        description="Arguments of Glue itself, as text.",
        examples=[{"--enable-metrics": "true"}],
    )

    @model_validator(mode="after")
    def _fits_the_runtime(self) -> GlueFields:
        shell = self.runtime == "pythonshell"
        for name in _OF_SPARK if shell else ("capacity",):
            if getattr(self, name) is not None:
                right = {"worker_type": "takes 'capacity'", "workers": "takes 'capacity'"}
                right["capacity"] = "takes 'worker_type' and 'workers'"
                raise ValueError(
                    f"'{name}' does not apply to the 'runtime' {self.runtime}, which "
                    + right.get(name, "is no Spark")
                )
        if self.capacity is not None and self.capacity not in (0.0625, 1):
            raise ValueError("'capacity' must be 0.0625 or 1")
        twice = next((name for name in self.params if name in self.fixed_params), None)
        if twice is not None:
            raise ValueError(f"'{twice}' is in both 'params' and 'fixed_params'")
        return self

    @model_validator(mode="after")
    def _fits_its_runs(self) -> GlueFields:
        if self.schedule is not None and self.after is not None:
            raise ValueError("'after' and 'schedule' exclude each other")
        started = self.schedule is not None or self.after is not None
        if started and len(self.job_name or "") > LONGEST_STARTED_NAME:
            raise ValueError(
                f"'job_name' must have at most {LONGEST_STARTED_NAME} characters, "
                "since the name of its trigger ('schedule' or 'after') is longer"
            )
        if self.execution_class == "FLEX" and (self.worker_type or "G.1X") not in _FLEX_WORKERS:
            raise ValueError(
                f"'execution_class' FLEX takes the 'worker_type' {' or '.join(_FLEX_WORKERS)}, "
                f"not {self.worker_type}"
            )
        if self.notify_delay_after is not None and self.notify_delay_after >= self.timeout:
            raise ValueError(
                "'notify_delay_after' must be less than 'timeout', after which a run is killed"
            )
        return self

    @model_validator(mode="after")
    def _fits_lake_formation(self) -> GlueFields:
        if not self.has_fine_grained_access:
            return self
        if self.runtime not in _LAKE_FORMATION_RUNTIMES:
            raise ValueError(
                f"'{LAKE_FORMATION}' does not apply to the 'runtime' {self.runtime}: "
                "it needs glue-5.0 or newer"
            )
        if (self.workers or 2) < _LAKE_FORMATION_WORKERS:
            raise ValueError(
                f"'{LAKE_FORMATION}' needs at least {_LAKE_FORMATION_WORKERS} 'workers': "
                f"set 'workers: {_LAKE_FORMATION_WORKERS}' or more"
            )
        return self

    @property
    def has_fine_grained_access(self) -> bool:
        """Whether Lake Formation decides on access by table, row and column."""
        return self.arguments.get(LAKE_FORMATION, "").strip().lower() == "true"

    def settings(self) -> GlueSettings:
        """Returns the settings as the job carries them."""
        shell = self.runtime == "pythonshell"
        return GlueSettings(
            runtime=self.runtime,
            job_name=self.job_name or "",
            role=self.role or "",
            artifacts=_to_prefix(self.artifacts),
            region=self.region or "",
            capacity=(self.capacity or 0.0625) if shell else None,
            worker_type="" if shell else self.worker_type or "G.1X",
            workers=0 if shell else self.workers or 2,
            timeout=int(self.timeout // 60),
            max_concurrent_runs=self.max_concurrent_runs,
            params=format_arguments(self.params),
            fixed_params=format_arguments(self.fixed_params),
            result=str(self.result or ""),
            requirements=tuple(self.requirements),
            packages=tuple(self.packages),
            connections=tuple(self.connections),
            security_configuration=self.security_configuration or "",
            tags=dict(self.tags),
            arguments=normalize_arguments(self.arguments),
            schedule=self.schedule or "",
            after=self.after.settings() if self.after is not None else None,
            execution_class=self.execution_class or "",
            queue_runs=self.queue_runs,
            maintenance_window=self.maintenance_window or "",
            notify_delay_after=int((self.notify_delay_after or 0) // 60),
        )


def _to_prefix(place: Optional[S3Uri]) -> Optional[S3Uri]:
    return place if place is None else place.as_folder()
