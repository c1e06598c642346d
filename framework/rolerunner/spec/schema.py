"""Models the top level of a spec, the files that it includes, and its state."""

from typing import Annotated, Any, Literal, Optional

from pydantic import BeforeValidator, Field, model_validator

from rolerunner.model import S3Uri
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import Bytes, Seconds, StrictModel, Text
from rolerunner.spec.names import Name
from rolerunner.spec.params import check_pattern
from rolerunner.spec.step_fields import MAX_PARALLEL, Defaults

LEAST_MEMORY = 112 << 20
"""Bytes of the smallest process that can be promised: Python, boto3 and the spec take some 80 of these MiB."""


class ParamFields(StrictModel):
    """A parameter that the spec declares."""

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
    ] = Field("string", description="What its text is read as.", examples=["date"])
    required: bool = Field(False, description="Must it be given?", examples=[True])
    default: Any = Field(
        None,
        description="Its value when it is not given; may be an expression of today and now.",
        examples=["2026-01-31", "${{ today | minus(1) }}"],
    )
    min: Any = Field(
        None, description="The least value; of a string or list, the least length.", examples=[1]
    )
    max: Any = Field(
        None,
        description="The greatest value; of a string or list, the greatest length.",
        examples=[10],
    )
    choices: Optional[list[Any]] = Field(
        None, description="The values it may have.", examples=[["dev", "prod"]]
    )
    pattern: Annotated[Optional[str], BeforeValidator(check_pattern)] = Field(
        None, description="A regular expression its whole text must match.", examples=["[a-z]+"]
    )
    secret: bool = Field(
        False,
        description="Is it a secret? Then it is never shown or stored, and may flow only into arguments, parameters and customer keys.",
        examples=[True],
    )
    description: str = Field(
        "", description="What it is for.", examples=["The day whose orders are fetched."]
    )


class StateFields(StrictModel):
    """Where the state of runs is kept, so that a run can be resumed and two never mix."""

    location: Text = Field(
        description="A folder of this machine, or s3://bucket/prefix/.",
        examples=["s3://ops-bucket/rolerunner/state/", "/var/lib/rolerunner/"],
    )
    role: Optional[str] = Field(
        None,
        description="The role that keeps it in S3: an alias, an ARN, or job.",
        examples=["publisher"],
    )
    stale_after: Seconds = Field(
        120.0,
        description="A run that was not heard of for so long may be taken over.",
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
            raise ValueError("'role' of 'state' goes with a location in S3")
        if not isinstance(self.stale_after, Template) and self.stale_after < 1:
            raise ValueError("'stale_after' must be at least 1s")
        return self


class SpecFile(StrictModel):
    """The top of a job spec. Steps and roles are looked at one by one, so that each mistake is found."""

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
        description="What the job is given for each run.",
        examples=[{"run_date": {"type": "date", "required": True}}],
    )
    include: list[str] = Field(
        default_factory=list,
        description="Files of roles that several specs share, relative to this one.",
        examples=[["shared/roles.yaml"]],
    )
    roles: dict[Name, Any] = Field(
        default_factory=dict,
        description="Alias -> ARN, or the long form.",
        examples=[{"reader": "arn:aws:iam::111122223333:role/reader"}],
    )
    defaults: Defaults = Field(
        default_factory=Defaults,
        description="What steps have that do not say otherwise.",
        examples=[{"role": "reader", "timeout": "30m"}],
    )
    assume: Literal["first", "lazily"] = Field(
        "first",
        description="Assume every role before the first step, or each when it is needed.",
        examples=["lazily"],
    )
    max_parallel: Annotated[int, Field(ge=1, le=MAX_PARALLEL)] = Field(
        4, description="How many steps run at once, where 'needs' allows it.", examples=[4]
    )
    on_failure: Literal["stop", "finish"] = Field(
        "stop",
        description="After a failed step: stop begins no other; finish still runs those that do not depend on it.",
        examples=["finish"],
    )
    deadline: Optional[Seconds] = Field(
        None, description="How long after the start a step may still begin.", examples=["6h"]
    )
    engine: Literal["fast", "boto3"] = Field(
        "fast",
        description="What moves objects: the fast engine, which leaves to boto3 what it cannot do, or boto3 alone.",
        examples=["boto3"],
    )
    memory: Optional[Annotated[Bytes, Field(ge=LEAST_MEMORY)]] = Field(
        None,
        description="What the run's processes together should stay below, 112MiB at least; some 250 MB without it.",
        examples=["128MB"],
    )
    state: Any = Field(
        None,
        description="Where the state of runs is kept, for resuming.",
        examples=[{"location": "s3://ops-bucket/state/", "role": "publisher"}],
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
    steps: list[Any] = Field(
        min_length=1,
        description="What is done, top to bottom.",
        examples=[
            [{"id": "find", "action": "s3.list", "role": "reader", "source": "s3://landing/in/"}]
        ],
    )


class IncludedFile(StrictModel):
    """A file of roles that several specs share."""

    roles: dict[Name, Any] = Field(
        description="Alias -> ARN, or the long form.",
        examples=[{"reader": "arn:aws:iam::111122223333:role/reader"}],
    )
