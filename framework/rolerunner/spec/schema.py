"""Models the top level of a spec, the files that it includes, and its state."""

from typing import Annotated, Any, Literal, Optional

from pydantic import BeforeValidator, Field, model_validator

from rolerunner.model import S3Uri
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import Bytes, Seconds, StrictModel, Text
from rolerunner.spec.names import Name
from rolerunner.spec.param_values import check_pattern
from rolerunner.spec.step_fields import MAX_PARALLEL, Defaults, RoleName

LEAST_MEMORY = 112 << 20
"""Bytes of the smallest memory limit; Python, boto3 and the spec alone take about 80 MiB."""


class ParamFields(StrictModel):
    """A param that the spec declares."""

    type: Literal[
        "string",
        "integer",
        "number",
        "boolean",
        "date",
        "datetime",
        "duration",
        "size",
        "list",
        "choice",
    ] = Field("string", description="The type that its text is converted to.", examples=["date"])
    required: bool = Field(False, description="Whether each run must set it.", examples=[True])
    default: Any = Field(
        None,
        description="The value if a run does not set it; may be an expression of today and now.",
        examples=["2026-01-31", "${{ today | minus(1) }}"],
    )
    min: Any = Field(
        None, description="Minimum value, or minimum length of a string or list.", examples=[1]
    )
    max: Any = Field(
        None,
        description="Maximum value, or maximum length of a string or list.",
        examples=[10],
    )
    choices: Optional[list[Any]] = Field(
        None, description="The allowed values.", examples=[["dev", "prod"]]
    )
    pattern: Annotated[Optional[str], BeforeValidator(check_pattern)] = Field(
        None,
        description="A regular expression that the whole text must match.",
        examples=["[a-z]+"],
    )
    secret: bool = Field(
        False,
        description="Whether it is a secret: never shown or stored, and allowed only in "
        "arguments, parameters, customer keys and webhooks.",
        examples=[True],
    )
    from_: Optional[str] = Field(
        None,
        alias="from",
        description="Where a run fetches the value of a secret param before its first step: "
        "secretsmanager:NAME_OR_ARN or ssm:NAME_OR_ARN, and #KEY for a key of its JSON.",
        examples=["secretsmanager:prod/partner/sftp#password", "ssm:/orders/api-key"],
    )
    role: Optional[str] = Field(
        None,
        description="The role that fetches it: an alias, an ARN, or job.",
        examples=["ops"],
    )
    kms_key: Optional[str] = Field(
        None,
        description="The customer managed KMS key that encrypts it, as an ARN, id or alias; the "
        "role then needs kms:Decrypt on it.",
        examples=["arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    )
    description: str = Field(
        "", description="What the param is for.", examples=["The day whose orders are fetched."]
    )


class StateFields(StrictModel):
    """The location of the state of runs, so that a run can be resumed and excludes others."""

    location: Text = Field(
        description="A local folder, or s3://bucket/prefix/.",
        examples=["s3://ops-bucket/rolerunner/state/", "/var/lib/rolerunner/"],
    )
    role: Optional[RoleName] = Field(
        None,
        description="The role that reads and writes it in S3: an alias, an ARN, or job.",
        examples=["publisher"],
    )
    stale_after: Seconds = Field(
        120.0,
        description="Time without a sign of life after which a run may be taken over.",
        examples=["5m"],
    )

    @model_validator(mode="after")
    def _role_goes_with_s3(self) -> "StateFields":
        if isinstance(self.location, Template):
            return self
        if self.location.startswith("s3://"):
            S3Uri.parse(self.location)
            if self.role is None:
                raise ValueError("'state' in S3 needs a 'role': an alias, an ARN, or job")
        elif self.role is not None:
            raise ValueError("'role' of 'state' requires a 'location' in S3")
        if not isinstance(self.stale_after, Template) and self.stale_after < 1:
            raise ValueError("'stale_after' must be at least 1s")
        return self


class SpecFile(StrictModel):
    """The top level of a job spec.

    Steps and roles are validated one by one, so that every mistake is found.
    """

    version: Literal[1] = Field(description="The version of the spec language: 1.", examples=[1])
    name: Name = Field(
        description="The job's name: letters, digits, '-' and '_'.", examples=["nightly-orders"]
    )
    description: str = Field(
        "",
        description="What the job is for.",
        examples=["Fetch the partner's orders, publish them."],
    )
    params: dict[Name, ParamFields] = Field(
        default_factory=dict,
        description="The params that each run may set.",
        examples=[{"run_date": {"type": "date", "required": True}}],
    )
    include: list[str] = Field(
        default_factory=list,
        description="Files with roles that several specs share, relative to this spec.",
        examples=[["shared/roles.yaml"]],
    )
    roles: dict[Name, Any] = Field(
        default_factory=dict,
        description="Maps an alias to an ARN, or to the long form of a role.",
        examples=[{"reader": "arn:aws:iam::111122223333:role/reader"}],
    )
    defaults: Defaults = Field(
        default_factory=Defaults,
        description="Role, retry and timeout of steps that do not set their own.",
        examples=[{"role": "reader", "timeout": "30m"}],
    )
    assume: Literal["first", "lazily"] = Field(
        "first",
        description="Whether roles are assumed before the first step, or when they are needed.",
        examples=["lazily"],
    )
    max_parallel: Annotated[int, Field(ge=1, le=MAX_PARALLEL)] = Field(
        4,
        description="Maximum number of steps that run at once, where 'needs' allows it.",
        examples=[4],
    )
    on_failure: Literal["stop", "finish"] = Field(
        "stop",
        description="After a failed step: stop starts no other step; finish runs those that do not "
        "depend on it.",
        examples=["finish"],
    )
    deadline: Optional[Seconds] = Field(
        None,
        description="Time after the start of the run until which steps may start.",
        examples=["6h"],
    )
    engine: Literal["fast", "boto3"] = Field(
        "fast",
        description="What transfers objects: "
        "the fast engine, which falls back to boto3, or boto3 alone.",
        examples=["boto3"],
    )
    memory: Optional[Annotated[Bytes, Field(ge=LEAST_MEMORY)]] = Field(
        None,
        description="Memory target of all processes of a run, at least 112MiB; "
        "about 250 MB by default.",
        examples=["128MB"],
    )
    state: Any = Field(
        None,
        description="Where the state of runs is kept, so that they can be resumed.",
        examples=[{"location": "s3://ops-bucket/state/", "role": "publisher"}],
    )
    notify: Any = Field(
        None,
        description="Who is told how a run ended: a list of targets, each with 'on'.",
        examples=[
            [
                {
                    "on": ["failed", "refused"],
                    "sns": "arn:aws:sns:eu-west-1:111122223333:ops",
                    "role": "job",
                }
            ]
        ],
    )
    telemetry: Any = Field(
        None,
        description="The metrics, lineage and traces that a run reports to other systems.",
        examples=[
            {
                "metrics": {"emf": {"namespace": "rolerunner"}},
                "lineage": {"openlineage": {"namespace": "orders"}},
                "traces": {"otlp": True},
            }
        ],
    )
    glue: Any = Field(
        None,
        description="How the job is deployed to AWS Glue.",
        examples=[
            {
                "runtime": "pythonshell",
                "role": "glue-nightly",
                "artifacts": "s3://ops-bucket/rolerunner/",
            }
        ],
    )
    environments: Any = Field(
        None,
        description="Changes to params, roles, state, notify, glue and telemetry, by the name "
        "that --env selects; null takes a key away.",
        examples=[{"dev": {"params": {"stage": "dev"}, "glue": {"job_name": "nightly-dev"}}}],
    )
    steps: list[Any] = Field(
        min_length=1,
        description="The steps, in order.",
        examples=[
            [{"id": "find", "action": "s3.list", "role": "reader", "source": "s3://landing/in/"}]
        ],
    )


class IncludedFile(StrictModel):
    """A file with roles that several specs share."""

    roles: dict[Name, Any] = Field(
        description="Maps an alias to an ARN, or to the long form of a role.",
        examples=[{"reader": "arn:aws:iam::111122223333:role/reader"}],
    )
