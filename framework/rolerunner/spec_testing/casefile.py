"""Models of a test file: its cases, each with its initial state, a run and expectations."""

from typing import Annotated, Any, Literal, Optional

from pydantic import BeforeValidator, Field

from rolerunner.sandbox.faults import Fault
from rolerunner.sandbox.world import ObjectContent
from rolerunner.sandbox.world_catalog import SandboxJob, SandboxQueryResult
from rolerunner.spec.field_types import (
    S3Location,
    S3Object,
    Seconds,
    ShortForm,
    StrictModel,
    json_form,
)
from rolerunner.spec_testing.expectations import Expectations, LocalFile, as_text


class DeniedPermission(StrictModel):
    """Actions denied to a role, whatever its policies allow."""

    role: str = Field(description="The role: an alias, an ARN, or job.", examples=["partner"])
    actions: list[str] = Field(
        min_length=1, description="IAM actions; * matches any text.", examples=[["s3:GetObject"]]
    )
    resources: list[str] = Field(
        default_factory=lambda: ["*"],
        min_length=1,
        description="ARNs; all by default.",
        examples=[["arn:aws:s3:::landing/*"]],
    )


Content = Annotated[ObjectContent, BeforeValidator(as_text), ShortForm()]
"""Text, or one of text, gzip, file and size with what is stored besides."""


class InitialState(StrictModel):
    """State before the run, in addition to the sandbox's."""

    objects: dict[S3Object, Content] = Field(
        default_factory=dict,
        description="Objects that exist: their text, or one of text, gzip, file and size.",
        examples=[{"s3://landing/orders/a.csv": "id\n1\n"}],
    )
    without: list[S3Location] = Field(
        default_factory=list,
        description="Objects and prefixes of the sandbox that do not exist in this case.",
        examples=[["s3://landing/orders/b.csv"]],
    )
    files: dict[LocalFile, Content] = Field(
        default_factory=dict,
        description="Files that exist in the working folder of the run.",
        examples=[{"in/orders.csv": "id\n1\n"}],
    )
    deny: list[DeniedPermission] = Field(
        default_factory=list,
        description="Permissions to deny, whatever the policies allow.",
        examples=[[{"role": "partner", "actions": ["s3:GetObject"]}]],
    )
    query_results: list[SandboxQueryResult] = Field(
        default_factory=list,
        description="Results of queries, which take precedence over those of the sandbox.",
        examples=[[{"query": "SELECT *", "account": "111122223333", "error": "no such table"}]],
    )
    jobs: list[SandboxJob] = Field(
        default_factory=list,
        description="Glue jobs whose runs end as described, instead of those of the sandbox.",
        examples=[[{"name": "load", "account": "111122223333", "state": "FAILED"}]],
    )
    faults: list[Fault] = Field(
        default_factory=list,
        description="Faults to inject into requests to AWS.",
        examples=[[{"operation": "GetObject", "answer": 503, "times": 2}]],
    )


class CaseFields(StrictModel):
    """A case: initial state, one run, expectations."""

    name: str = Field(
        min_length=1,
        description="The case's name: what it tests.",
        examples=["the partner is late"],
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Params of the run, which take precedence over those of the file.",
        examples=[{"run_date": "2026-01-31"}],
    )
    env: Optional[str] = Field(None, description="Environment of the spec.", examples=["dev"])
    only: list[str] = Field(
        default_factory=list,
        description="Run only these steps, or parts of groups.",
        examples=[["fetch"], ["partners[north].fetch"]],
    )
    given: InitialState = Field(
        default_factory=InitialState,
        description="State before the run, in addition to the sandbox's.",
    )
    expect: Expectations = Field(
        default_factory=Expectations,
        description="The expected outcome; by default, the run succeeds.",
    )
    timeout: Seconds = Field(120.0, description="Maximum duration of the run.", examples=["30s"])


class CaseFile(StrictModel):
    """A test file: runs of a spec, each in a fresh sandbox."""

    version: Literal[1] = Field(description="The version of the test file: 1.", examples=[1])
    spec: Optional[str] = Field(
        None,
        description="The spec, relative to this file; the one of the same name by default.",
        examples=["nightly.yaml"],
    )
    sandbox: Annotated[Any, json_form(anyOf=[{"type": "string"}, {"type": "object"}])] = Field(
        None,
        description="A sandbox file, relative to this one, or its contents; defaults to "
        "SPEC.sandbox.yaml, else derived from the spec.",
        examples=["nightly.sandbox.yaml"],
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Params of every case.",
        examples=[{"workdir": "${{ case.folder }}/work/"}],
    )
    cases: list[CaseFields] = Field(
        min_length=1, description="The cases.", examples=[[{"name": "an ordinary day"}]]
    )
