"""Records a job's beginning and end, which in Glue read and store its bookmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awsglue.local import JobEvent, LocalGlueError, record_job_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from awsglue.context import GlueContext

__all__ = ["Job"]


class Job:
    """A Glue job; its calls are recorded and available from ``awsglue.local.job_events``.

    There are no bookmarks here: each run reads all of its input.
    """

    def __init__(self, glue_context_or_spark_session: GlueContext | SparkSession) -> None:
        self._context = glue_context_or_spark_session
        self._name = ""
        self._initialized = False

    def init(self, job_name: str, args: Mapping[str, str] = {}) -> None:
        """Begins the job; ``args`` are those that ``getResolvedOptions`` returned."""
        self._name, self._initialized = job_name, True
        record_job_event(JobEvent("init", job_name, dict(args)))

    def isInitialized(self) -> bool:
        """Returns True after ``init``."""
        return self._initialized

    def commit(self) -> None:
        """Ends the job. Raises LocalGlueError if ``init`` was not called."""
        if not self._initialized:
            raise LocalGlueError(
                "Job.commit was called before Job.init: call job.init(args['JOB_NAME'], args) first"
            )
        record_job_event(JobEvent("commit", self._name))
