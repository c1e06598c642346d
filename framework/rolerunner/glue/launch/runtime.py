"""Glue's runtimes, and detection of the current one.

``import awsglue`` proves nothing, as development machines may have it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS = {"pythonshell": "Python Shell", "glueetl": "Spark"}
"""Command.Name of a Glue job -> the kind of job."""
PLACES = ("glueetl", "pythonshell", "local")


@dataclass(frozen=True)
class Runtime:
    """A Glue runtime and what it provides (AWS Glue developer guide, release notes)."""

    name: str
    python: str
    """The interpreter's version."""
    boto3: str
    """Version of the provided boto3; bundles never contain another."""
    command: str
    """Command.Name of the Glue job."""
    python_version: str
    """Command.PythonVersion of the Glue job."""
    glue_version: str
    log_group: str
    """Log group of output and errors."""
    zip_of_wheels: bool = False
    """True if it takes one ``.gluewheels.zip``."""

    @property
    def is_spark(self) -> bool:
        """Returns True for Spark, False for Python Shell."""
        return self.command == "glueetl"

    @property
    def has_log_prefixes(self) -> bool:
        """Returns True if arguments rename log groups and streams: Spark from Glue 5.0 on."""
        return self.is_spark and float(self.glue_version) >= 5  # noqa: PLR2004

    @property
    def tag(self) -> str:
        """Returns the interpreter tag of wheels, such as cp311."""
        return "cp" + self.python.replace(".", "")


_SPARK_LOGS = "/aws-glue/jobs"
RUNTIMES: Mapping[str, Runtime] = {
    each.name: each
    for each in (
        Runtime(
            "pythonshell", "3.9", "1.21.21", "pythonshell", "3.9", "3.0", "/aws-glue/python-jobs"
        ),
        Runtime("glue-4.0", "3.10", "1.24.70", "glueetl", "3", "4.0", _SPARK_LOGS),
        Runtime(
            "glue-5.0", "3.11", "1.34.131", "glueetl", "3", "5.0", _SPARK_LOGS, zip_of_wheels=True
        ),
        Runtime(
            "glue-5.1", "3.11", "1.40.61", "glueetl", "3", "5.1", _SPARK_LOGS, zip_of_wheels=True
        ),
        Runtime(
            "glue-6.0", "3.13", "1.42.84", "glueetl", "3", "6.0", _SPARK_LOGS, zip_of_wheels=True
        ),
    )
}


def detect_runtime(
    script: str, named: str = "", environment: Mapping[str, str] = os.environ
) -> str:
    """Returns glueetl (Spark), pythonshell or local; a valid ``named`` takes precedence."""
    if named in PLACES:
        return named
    if environment.get("GLUE_COMMAND_CRITERIA") == "glueetl":
        return "glueetl"
    if environment.get("GLUE_INSTALLATION") or "glue-python-scripts-" in script:
        return "pythonshell"
    return "local"
