"""A local Spark of a runtime's version with an executor of its own, for jobs that need one."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.glue.rehearsal.environment import Environment

PYSPARK: Mapping[str, tuple[str, ...]] = {
    "glue-4.0": ("py4j==0.10.9.5", "pyspark==3.3.0"),
    "glue-5.0": ("py4j==0.10.9.7", "pyspark==3.5.4"),
    "glue-5.1": ("py4j==0.10.9.7", "pyspark==3.5.6"),
    "glue-6.0": ("py4j==0.10.9.9", "pyspark==4.1.1"),
}
"""Packages of each Spark (AWS Glue developer guide, "AWS Glue versions"); Python Shell has none."""
_MASTER = "local-cluster[1,2,1024]"
"""One executor with 2 cores and 1 GB, in a process of its own."""


def list_spark_packages(runtime: Runtime) -> tuple[str, ...]:
    """Returns the packages of the runtime's Spark. Raises UsageError if it cannot run here."""
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        raise UsageError("the job needs Spark, which needs Java 17: install it or set JAVA_HOME")
    if find_spec("awsglue") is None:
        raise UsageError(
            "the job needs Spark, and its rehearsal needs an awsglue on this machine: install "
            "awsglue-local-stubs (docs/glue-local.md says how)"
        )
    return PYSPARK.get(runtime.name, ())


def prepare_cluster(
    base: Environment, layer: Environment, code: Sequence[Path], work: Path
) -> dict[str, str]:
    """Adds this machine's awsglue to ``layer``; returns the variables that make pyspark start.

    Executors get the archives of ``code`` as those of Glue do.
    """
    own = find_spec("awsglue")
    for folder in (own.submodule_search_locations or ()) if own else ():
        shutil.copytree(folder, layer.packages / "awsglue")
    home = work / "spark"
    home.mkdir()  # a local cluster writes below its home, which others use as well
    for path in (base.packages / "pyspark").iterdir():
        if path.name != "work":
            (home / path.name).symlink_to(path)
    archives = f"--py-files {','.join(map(str, code))} " if code else ""
    return {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(layer.python),
        "PYSPARK_SUBMIT_ARGS": f"--master {_MASTER} {archives}pyspark-shell",
    }
