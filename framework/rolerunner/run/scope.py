"""The values that expressions of a spec can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from rolerunner.step_ids import local_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rolerunner.model import Job, Step, StepResult


def build_scope(
    job: Job,
    run_id: str,
    started: datetime,
    steps: Optional[Mapping[str, Any]] = None,
    error: str = "",
) -> dict[str, Any]:
    """Returns ``params``, ``steps``, ``run``, ``today`` and ``now``."""
    today = started.date()
    run = {"id": run_id, "name": job.name, "date": today, "time": started, "error": error}
    return {
        "params": job.params,
        "steps": steps or {},
        "run": run,
        "today": today,
        "now": started,
    }


def read_outputs(step: Step, results: Mapping[str, StepResult]) -> dict[str, Any]:
    """Returns outputs and status of the steps that this one names, and of no others."""
    named = {each: results[each] for each in step.references if each in results}
    return {
        local_name(id_): {**result.outputs, "status": result.was or result.status}
        for id_, result in named.items()
    }
