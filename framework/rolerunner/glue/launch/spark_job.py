"""The parts of ``awsglue`` that a run needs: its Job, and the arguments that transforms read.

Job.init comes before the steps, Job.commit after. Glue's Job keeps bookmarks: init reads where the
last run ended, commit stores where this one did, so only a successful run commits. A job without
bookmarks and Spark steps opens no SparkContext, which would take seconds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rolerunner.common.awsglue_errors import explain_awsglue_error
from rolerunner.errors import UsageError
from rolerunner.spark.session import get_session
from rolerunner.spec.expressions import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.model import Job, RunResult, Step

BOOKMARKS = "job-bookmark-option"
_OFF = "job-bookmark-disable"
_LOG = logging.getLogger("rolerunner")


def run_in_glue_job(
    job: Job, given: Mapping[str, str], runtime: str, work: Callable[[], RunResult]
) -> RunResult:
    """Calls ``work``, inside Glue's Job if the job needs it; ``given`` are Glue's arguments.

    Raises UsageError, and errors of ``work``.
    """
    if runtime != "glueetl" or not is_needed(job, given):
        return work()
    glue_job = _start_job(given)
    result = work()
    if result.status in ("succeeded", "warning"):
        glue_job.commit()
    return result


def is_needed(job: Job, given: Mapping[str, str]) -> bool:
    """Returns True if bookmarks are on or a step uses Spark."""
    return given.get(BOOKMARKS, _OFF) != _OFF or any(_uses_spark(step) for step in job.action_steps)


def _uses_spark(step: Step) -> bool:
    distribute = step.fields.get("distribute")
    return (
        step.action.startswith("spark.")
        or distribute in ("spark", "auto")
        or isinstance(distribute, Template)
    )


def resolve_options(given: Mapping[str, str]) -> None:
    """Calls ``getResolvedOptions`` with Glue's own arguments, if awsglue is installed.

    It keeps them in a global of awsglue, from which transforms take ``TempDir``. A script of Glue
    calls it first; the functions of a spec need not. A failure is logged: it matters to nothing
    but such a transform.
    """
    # NAME=VALUE, which no parser reads in two ways; an empty value would be an error
    arguments = [f"--{name}={value}" for name, value in given.items() if value]
    options = [name for name in ("JOB_NAME",) if given.get(name)]
    try:
        from awsglue.utils import getResolvedOptions  # noqa: PLC0415 - there in Glue alone

        getResolvedOptions(["script", *arguments], options)
    except ImportError as error:
        _LOG.debug("awsglue cannot be imported: %s", error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - argparse exits in Python Shell
        _LOG.warning(
            "awsglue did not take the job's arguments: %s: %s", type(error).__name__, error
        )


def _start_job(given: Mapping[str, str]) -> Any:
    try:
        from awsglue.context import GlueContext  # noqa: PLC0415 - there in Spark jobs of Glue alone
        from awsglue.job import Job as GlueJob  # noqa: PLC0415

        begun = GlueJob(GlueContext(get_session().sparkContext))
        # named as getResolvedOptions names them; py4j makes a Java map of it, which takes no None
        begun.init(given.get("JOB_NAME", ""), _job_arguments(given))
    except (ImportError, TypeError) as error:
        explained = explain_awsglue_error(error)
        if not explained:
            raise
        raise UsageError(
            f"this is not a Spark job of Glue: {error}: {explained}, or use --runtime local"
        ) from None
    return begun


def _job_arguments(given: Mapping[str, str]) -> dict[str, str]:
    return {
        BOOKMARKS.replace("-", "_"): _OFF,
        **{name.replace("-", "_"): value for name, value in given.items()},
    }
