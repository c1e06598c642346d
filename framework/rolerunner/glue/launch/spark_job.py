"""A Spark job of Glue around a run: GlueContext, Job.init before, Job.commit after. The only importer of awsglue.

Glue's Job is about bookmarks: init says where the last run ended, commit where this one did, so only a run that went well
commits. A job without bookmarks and without a Spark step opens no SparkContext: that takes seconds, and gives nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.errors import UsageError
from rolerunner.spark.session import get_session
from rolerunner.spec.expressions import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.model import Job, RunResult, Step

BOOKMARKS = "job-bookmark-option"
_OFF = "job-bookmark-disable"


def run_in_glue_job(
    job: Job, given: Mapping[str, str], runtime: str, work: Callable[[], RunResult]
) -> RunResult:
    """Do the work; in a Spark job that needs it, inside Glue's Job. ``given`` are Glue's own arguments. Raises UsageError, what ``work`` raises."""
    if runtime != "glueetl" or not is_needed(job, given):
        return work()
    glue_job = _begun(given)
    result = work()
    if result.status in ("succeeded", "warning"):
        glue_job.commit()
    return result


def is_needed(job: Job, given: Mapping[str, str]) -> bool:
    """Are bookmarks on, or does a step work with Spark?"""
    return given.get(BOOKMARKS, _OFF) != _OFF or any(_uses_spark(step) for step in job.steps)


def _uses_spark(step: Step) -> bool:
    said = step.fields.get("distribute")
    return step.action.startswith("spark.") or said == "spark" or isinstance(said, Template)


def _begun(given: Mapping[str, str]) -> Any:
    try:
        from awsglue.context import GlueContext  # noqa: PLC0415 - there in Spark jobs of Glue alone
        from awsglue.job import Job as GlueJob  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"this is no Spark job of Glue: {error}; say --runtime local where it is none"
        ) from None
    begun = GlueJob(GlueContext(get_session().sparkContext))
    # named as getResolvedOptions names them; py4j makes a Java map of it, which takes no None
    begun.init(
        given.get("JOB_NAME", ""),
        {
            BOOKMARKS.replace("-", "_"): _OFF,
            **{name.replace("-", "_"): value for name, value in given.items()},
        },
    )
    return begun
