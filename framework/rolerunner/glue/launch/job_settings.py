"""Checks what the arguments of a job run set: its spec, its params and its time limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from rolerunner.errors import UsageError
from rolerunner.spec.values import parse_duration, suggest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.launch.arguments import Arguments
    from rolerunner.model import Job

DEADLINE_SHARE = 0.95
"""Share of the job's timeout for ``--deadline``; halfway through the rest, steps are stopped."""
LOG_LEVELS = ("debug", "info", "warning", "error")
"""The values of ``--log_level``."""


def require_spec(given: Arguments) -> str:
    """Returns the spec to run, with its environment. Raises UsageError if none is given."""
    spec = given.ours.get("job_spec")
    if spec:
        return spec
    wrong = next((name for name in given.params if suggest_name(name, ["job_spec"])), "")
    raise UsageError(
        "no spec to run: set --job_spec s3://bucket/job.yaml"
        + (f" (it is not --{wrong})" if wrong else "")
    )


def read_log_level(given: Arguments) -> str:
    """Returns the level of the log. Raises UsageError."""
    level = given.ours.get("log_level") or "info"
    if level not in LOG_LEVELS:
        raise UsageError(f"--log_level must be one of {', '.join(LOG_LEVELS)}, not '{level}'")
    return level


def check_params(job: Job, given: Mapping[str, str]) -> None:
    """Raises UsageError if a param is secret, or differs from its fixed value.

    Glue does not let a run replace a fixed argument. The spec's own value is compared as well,
    because a run may bring other arguments that make the list ambiguous.
    """
    secret = sorted(job.secret_params.intersection(given))
    if secret:
        raise UsageError(
            f"the param '{secret[0]}' is secret and may not be given as a job argument: "
            "Glue logs and shows arguments"
        )
    fixed = {} if job.glue is None else job.glue.fixed_params
    for name, value in fixed.items():
        if given.get(name) != value:
            raise UsageError(
                f"the param '{name}' is fixed to '{value}' by 'fixed_params' under 'glue' in the "
                f"spec, and the run has "
                + (f"'{given[name]}'" if name in given else f"no argument --{name}")
            )


def choose_time_limits(job: Job, deadline_text: str) -> tuple[Optional[float], Optional[float]]:
    """Returns the seconds after which no step begins, and after which running steps are stopped."""
    if not deadline_text:
        return job.deadline, None
    try:
        seconds = parse_duration(deadline_text)
    except ValueError as error:
        raise UsageError(f"--deadline: {error}") from None
    return min(seconds, job.deadline or seconds), seconds * (1 + 1 / DEADLINE_SHARE) / 2
