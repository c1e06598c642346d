"""The arguments a Glue job is started with: our own scanner.

awsglue's ``getResolvedOptions`` makes every option required, matches prefixes, fails on an empty value and ends the
process for a missing one. Glue itself loses the token of an empty value, so ``--a --b x`` means a is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Glue's own (AWS Glue developer guide, "Using job parameters"); some come as they are, some by prefix.
GLUE_OWN = frozenset(
    {
        "JOB_NAME", "JOB_ID", "JOB_RUN_ID", "JOB_RUN_ATTEMPT", "SECURITY_CONFIGURATION", "WORKFLOW_NAME",
        "WORKFLOW_RUN_ID", "TempDir", "scriptLocation", "conf", "class",
        "mode", "debug", "endpoint", "encryption-type", "python-modules-installer-option", "continuous-log-logGroup",
        "continuous-log-logStreamPrefix", "continuous-log-conversionPattern", "spark-event-logs-path", "user-jars-first",
        "use-postgres-driver", "datalake-formats", "write-shuffle-files-to-s3", "write-shuffle-spills-to-s3", "executor-cores",
        "auto-scale-within-microbatch", "enable-auto-scaling", "library-set", "customer-driver-env-vars", "customer-executor-env-vars",
    }
)  # fmt: skip
_GLUE_PREFIXES = ("enable-", "extra-", "additional-", "job-", "continuous-log", "disable-", "python-", "redshift", "glue-")
OURS = ("job_spec", "result", "runtime", "log_level", "run_key")
"""Arguments of the entry script itself; all others are params of the spec."""


@dataclass(frozen=True)
class Arguments:
    """Ours, and the params, as text."""

    ours: Mapping[str, str]
    params: Mapping[str, str]
    glue: Mapping[str, str]


def scan(argv: Sequence[str]) -> Arguments:
    """Sort the arguments after the script's name into ours, params and Glue's own. The last of two equal names counts."""
    ours: dict[str, str] = {}
    params: dict[str, str] = {}
    glue: dict[str, str] = {}
    for name, value in _pairs(argv):
        (ours if name in OURS else glue if is_glue_own(name) else params)[name] = value
    return Arguments(ours, params, glue)


def is_glue_own(name: str) -> bool:
    """Is it an argument that Glue adds or reserves?"""
    return name in GLUE_OWN or name.startswith(_GLUE_PREFIXES)


def _pairs(argv: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("--") or token == "--":  # noqa: S105 - not a password
            continue
        name, separator, value = token[2:].partition("=")
        if not separator and tokens and not tokens[0].startswith("--"):
            value = tokens.pop(0)
        pairs.append((name, value))
    return pairs
