"""Names and texts of the arguments of Glue jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Job arguments of AWS Glue (developer guide, "Using job parameters"), as names and as prefixes.
GLUE_ARGUMENTS = frozenset(
    {
        "JOB_NAME", "JOB_ID", "JOB_RUN_ID", "JOB_RUN_ATTEMPT", "SECURITY_CONFIGURATION",
        "WORKFLOW_NAME", "WORKFLOW_RUN_ID", "TempDir", "RedshiftTempDir", "scriptLocation", "conf",
        "class", "mode", "debug", "endpoint", "encryption-type", "python-modules-installer-option",
        "continuous-log-logGroup", "continuous-log-logStreamPrefix",
        "continuous-log-conversionPattern", "spark-event-logs-path", "user-jars-first",
        "use-postgres-driver", "datalake-formats", "write-shuffle-files-to-s3",
        "write-shuffle-spills-to-s3", "executor-cores", "auto-scale-within-microbatch",
        "enable-auto-scaling", "library-set", "customer-driver-env-vars",
        "customer-executor-env-vars", "continuation-option",
    }
)  # fmt: skip
_GLUE_PREFIXES = (
    "enable-",
    "extra-",
    "additional-",
    "job-",
    "continuous-log",
    "disable-",
    "python-",
    "redshift",
    "glue-",
    "custom-log",
)
NO_DASHES = "cannot begin with '--' in Glue, which would read it as the next argument"
LIBRARY_SET = "library-set"
"""The argument of Python Shell that Glue names without dashes."""
ENTRY_ARGUMENTS = (
    "job_spec",
    "result",
    "runtime",
    "aws_region",
    "log_level",
    "run_key",
    "deadline",
    "traceparent",
)
"""Arguments of the entry script itself; all others are params of the spec."""


def is_glue_argument(name: str) -> bool:
    """Returns True if Glue adds or reserves the argument."""
    return name in GLUE_ARGUMENTS or name.startswith(_GLUE_PREFIXES)


def is_for_glue(name: str) -> bool:
    """Returns True for an argument of Glue: a reserved one, or any other with a hyphen."""
    return (is_glue_argument(name) or "-" in name) and name.replace("-", "_") not in ENTRY_ARGUMENTS


def format_arguments(params: Mapping[str, Any]) -> dict[str, str]:
    """Returns the values of params as the texts of a Glue job's arguments."""
    return {name: format_argument(value) for name, value in params.items()}


def normalize_arguments(arguments: Mapping[str, str]) -> dict[str, str]:
    """Returns the arguments with ``library-set`` as Glue spells it."""
    return {
        LIBRARY_SET if name == f"--{LIBRARY_SET}" else name: value
        for name, value in arguments.items()
    }


def format_argument(value: Any) -> str:
    """Returns a param's value as the text of a Glue job's argument."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, default=str) if isinstance(value, (list, dict)) else str(value)
