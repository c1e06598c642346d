"""Decides whether a deployment may change a Glue job that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.errors import UsageError
from rolerunner.glue.launch.arguments import split_environment
from rolerunner.glue.launch.runtime import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.deploy.settings import JobDefinition


def is_ours(job: Mapping[str, Any]) -> bool:
    """Returns True if the job runs a spec."""
    return any(
        "--job_spec" in job.get(name, {})
        for name in ("DefaultArguments", "NonOverridableArguments")
    )


def reject_other_environment(current: Mapping[str, Any], wanted: JobDefinition) -> None:
    """Raises UsageError if the job runs another environment of its spec.

    A job without an environment may get one.
    """
    before, after = (_find_environment(job) for job in (current, wanted.job))
    if before in ("", after):
        return
    raise UsageError(
        f"the Glue job '{wanted.name}' runs the environment '{before}': "
        + (
            f"set another 'job_name' under 'glue' in '{after}'"
            if after
            else f"deploy it with --env {before}, or under another name with --job-name"
        )
        + ", or use --adopt to replace it"
    )


def _find_environment(job: Mapping[str, Any]) -> str:
    arguments = {**job.get("DefaultArguments", {}), **job.get("NonOverridableArguments", {})}
    return split_environment(arguments.get("--job_spec", ""))[1]


def reject_command_change(current: Mapping[str, Any], wanted: JobDefinition) -> None:
    """Raises UsageError if an update would turn Python Shell into Spark, or the reverse.

    Glue fixes the kind of a job when it creates it: capacity, versions and arguments of one kind
    do not apply to the other.
    """
    names = (current["Command"]["Name"], wanted.job["Command"]["Name"])
    if names[0] == names[1]:
        return
    before, after = (COMMANDS.get(name, name) for name in names)
    raise UsageError(
        f"the Glue job '{wanted.name}' is a {before} job and cannot become a {after} job: "
        "deploy under another name with --job-name, or delete it first: "
        f"aws glue delete-job --job-name {wanted.name}"
    )
