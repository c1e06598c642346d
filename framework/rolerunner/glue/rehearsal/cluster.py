"""A local Spark of a runtime's version with an executor of its own, for jobs that need one."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import UsageError
from rolerunner.glue.rehearsal.environment import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.glue.rehearsal.environment import Environment
    from rolerunner.model import Job


@dataclass(frozen=True)
class SparkRelease:
    """The Spark of a runtime as PyPI and Maven Central have it."""

    packages: tuple[str, ...]
    hadoop: str
    """The Hadoop that pyspark has inside; hadoop-aws, which has S3A, must be the same."""


RELEASES: Mapping[str, SparkRelease] = {
    "glue-4.0": SparkRelease(("py4j==0.10.9.5", "pyspark==3.3.0"), "3.3.2"),
    "glue-5.0": SparkRelease(("py4j==0.10.9.7", "pyspark==3.5.4"), "3.3.4"),
    "glue-5.1": SparkRelease(("py4j==0.10.9.7", "pyspark==3.5.6"), "3.3.4"),
    "glue-6.0": SparkRelease(("py4j==0.10.9.9", "pyspark==4.1.1"), "3.4.2"),
}
"""Source: AWS Glue developer guide, "AWS Glue versions". Python Shell has no Spark."""
_MASTER = "local-cluster[1,2,1024]"
"""One executor with 2 cores and 1 GB, in a process of its own."""


def find_release(runtime: Runtime) -> SparkRelease:
    """Returns the Spark of a runtime. Raises UsageError if it cannot run here."""
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        raise UsageError("the job needs Spark, which needs Java 17: install it or set JAVA_HOME")
    if find_spec("awsglue") is None:
        raise UsageError(
            "the job needs Spark, and its rehearsal needs an awsglue on this machine: install "
            "awsglue-local-stubs (docs/glue-local.md says how)"
        )
    return RELEASES[runtime.name]


def has_tables(job: Job) -> bool:
    """Returns True if Spark itself reads from S3, for which it needs S3A."""
    return any(step.action.startswith("spark.") for step in job.action_steps)


def prepare_cluster(
    base: Environment,
    layer: Environment,
    code: Sequence[Path],
    work: Path,
    s3a: Optional[SparkRelease] = None,
    region: str = "",
) -> dict[str, str]:
    """Adds this machine's awsglue to ``layer``; returns the variables that make pyspark start.

    Executors get the archives of ``code`` as those of Glue do. Spark fetches S3A from Maven Central
    for the release ``s3a``, once, and calls the sandbox in ``region``.
    """
    own = find_spec("awsglue")
    for folder in (own.submodule_search_locations or ()) if own else ():
        shutil.copytree(folder, layer.packages / "awsglue")
    home = work / "spark"
    home.mkdir()  # a local cluster writes below its home, which others use as well
    for path in (base.packages / "pyspark").iterdir():
        if path.name != "work":
            (home / path.name).symlink_to(path)
    options = ["--master", _MASTER]
    if code:
        options += ["--py-files", ",".join(map(str, code))]
    if s3a is not None:
        options += ["--packages", f"org.apache.hadoop:hadoop-aws:{s3a.hadoop}"]
        options += ["--conf", f"spark.jars.ivy={cache_folder('jars')}"]
        # version 2 of the SDK finds an STS without TLS by itself, and needs a region for it
        for process in ("driver", "executor"):
            options += ["--conf", f"spark.{process}.extraJavaOptions=-Daws.region={region}"]
    return {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(layer.python),
        "PYSPARK_SUBMIT_ARGS": " ".join([*options, "pyspark-shell"]),
    }
