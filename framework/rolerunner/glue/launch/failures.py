"""Describes in one line why a job run failed, which becomes the error message of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from rolerunner.errors import RolesRefused, SecretsFailed
from rolerunner.model import Failure

if TYPE_CHECKING:
    from rolerunner.errors import RolerunnerError
    from rolerunner.model import RunResult


def find_failure(result: RunResult, *, out_of_time: bool) -> Optional[Failure]:
    """Returns why the run failed, or None."""
    if result.status in ("succeeded", "warning"):
        return None
    if out_of_time:
        return Failure(
            "Deadline",
            f"{result.job}: the run was stopped because Glue's timeout was near",
            "raise 'timeout' under 'glue' in the spec",
        )
    for step in result.steps:
        if step.error is not None and step.status in ("failed", "not_run"):
            verb = "failed" if step.status == "failed" else "did not run"
            message = f"{result.job}: step '{step.id}' {verb}: {step.error.message}"
            return Failure(step.error.type, message, step.error.hint)
    return Failure("Stopped", f"{result.job}: the run was stopped")


def describe_error(error: RolerunnerError) -> Failure:
    """Returns an error that ended the job as a failure, its message in one line."""
    refused = f"{error.summary}: " if isinstance(error, (RolesRefused, SecretsFailed)) else ""
    lines = (line.strip() for line in str(error).splitlines())
    message = refused + "; ".join(line for line in lines if line)
    return Failure(type(error).__name__, message, getattr(error, "hint", ""))


def describe_internal_error(error: Exception) -> Failure:
    """Returns the failure for an error of rolerunner itself."""
    kind = type(error).__name__
    return Failure(kind, f"internal error: {kind}: {error} (the log has the traceback)")
