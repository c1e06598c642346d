"""Models what starts a Glue job: a schedule, or the end of other jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from pydantic import BeforeValidator, Field

from rolerunner.model import GlueAfter
from rolerunner.spec.field_types import StrictModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.schema import ParamFields

JOB_NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,255}\Z")
LONGEST_STARTED_NAME = 240
"""Maximum characters in the name of a job with a trigger, whose name is longer."""


def _validate_schedule(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    from rolerunner.spec.cron import parse_cron  # noqa: PLC0415 - few jobs have a schedule

    return parse_cron(value)


Schedule = Annotated[str, BeforeValidator(_validate_schedule)]
"""A cron expression of Glue."""


def _validate_job(value: Any) -> Any:
    if isinstance(value, str) and not JOB_NAME.match(value):
        raise ValueError(f"must be names of Glue jobs, not '{value}'")
    return value


class AfterFields(StrictModel):
    """Other Glue jobs whose end starts the job."""

    jobs: list[Annotated[str, BeforeValidator(_validate_job)]] = Field(
        min_length=1,
        max_length=50,
        description="Names of Glue jobs; the job starts when all of them have ended.",
        examples=[["extract"]],
    )
    on: Literal["succeeded", "failed", "stopped", "timeout"] = Field(
        "succeeded", description="How each of them must end.", examples=["succeeded"]
    )

    def settings(self) -> GlueAfter:
        """Returns the fields as the job carries them."""
        return GlueAfter(tuple(dict.fromkeys(self.jobs)), self.on)


def check_after(after: AfterFields, job_name: Optional[str], reader: SpecReader) -> None:
    """Reports a job that waits for itself; without ``job_name`` it has the name of the spec."""
    own = job_name or reader.document.data.get("name")
    if own in after.jobs:
        path = ("glue", "after", "jobs", after.jobs.index(own))
        reader.add(path, f"'after' names the job itself, '{own}'")


def check_unattended_params(
    start: str, given: Mapping[str, Any], declared: Mapping[str, ParamFields], reader: SpecReader
) -> None:
    """Reports required params, which a run that Glue starts cannot have.

    ``start`` is the field that lets Glue start runs; ``given`` are the params that the job has.
    """
    for name, fields in declared.items():
        if fields.required and name not in given:
            hint = "give it a default"
            if not fields.secret:
                hint += ", or a value under 'params' of 'glue'"
            reader.add(
                ("glue", start),
                f"runs that '{start}' starts have no value of the param '{name}', "
                "which is required",
                hint,
            )
