"""The results of steps and of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, Optional

from rolerunner.lazy_dataclass import dataclass

StepStatus = Literal["succeeded", "warning", "failed", "skipped", "not_run"]
"""The final status of a step."""
RunStatus = Literal["succeeded", "warning", "failed", "stopped"]
"""The final status of a run."""


@dataclass(frozen=True)
class Failure:
    """The failure of a step: ``type`` for machines, ``message`` and ``hint`` for people."""

    type: str
    """The kind of failure, such as AccessDenied."""
    message: str
    """One sentence: where, and what."""
    hint: str = ""
    """The remedy."""


@dataclass(frozen=True)
class ItemResult:
    """The result of an item of a group."""

    item: str
    """The item's label: its name, or # and its position."""
    status: StepStatus
    """succeeded, warning, failed, skipped or not_run."""
    steps: tuple[StepResult, ...]
    """The results of the group's steps for this item."""


@dataclass(frozen=True)
class StepResult:
    """The result of a step. ``seconds`` is wall time."""

    id: str
    """The step's id."""
    action: str
    """The step's action."""
    role: str
    """The alias of the step's first role; empty for a step without one."""
    status: StepStatus
    """succeeded, warning, failed, skipped or not_run."""
    attempts: int = 0
    """Number of attempts."""
    seconds: float = 0.0
    """Wall time of all attempts together."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """The step's outputs, by name."""
    error: Optional[Failure] = None
    """Why it failed, or why it is a warning."""
    reason: str = ""
    """Why it was skipped."""
    was: Literal["", "succeeded", "warning", "failed", "skipped", "not_run"] = ""
    """The step's status in the earlier run that did it."""
    items: tuple[ItemResult, ...] = ()
    """The results of a group's items, in their order."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Role field -> alias, of a step with different roles."""

    @property
    def role_names(self) -> tuple[str, ...]:
        """The aliases of its roles."""
        return tuple(dict.fromkeys(self.roles.values())) or ((self.role,) if self.role else ())


@dataclass(frozen=True)
class RoleUse:
    """The session of a role, as CloudTrail shows it, and the number of AssumeRole calls."""

    role: str
    """The role's alias."""
    arn: str
    """The role's ARN."""
    session_arn: str
    """The ARN of the session, as CloudTrail shows it."""
    assume_calls: int
    """Number of AssumeRole calls."""
    step: str = ""
    """The only step with this session; empty if all steps of the role share one."""


@dataclass(frozen=True)
class RunLocation:
    """The result file and the Glue job of a run; empty where there is none."""

    result: str = ""
    """Path or URI of the result file."""
    glue_job: str = ""
    """The name of the Glue job."""
    glue_run: str = ""
    """The id of the Glue job run."""


@dataclass(frozen=True)
class RunResult:
    """The result of a run. ``started`` is UTC in ISO 8601."""

    run_id: str
    """The run's id."""
    job: str
    """The job's name."""
    status: RunStatus
    """succeeded, warning, failed or stopped."""
    started: str
    """The start of the run."""
    seconds: float
    """Wall time of the run."""
    roles: tuple[RoleUse, ...]
    """The sessions of the run."""
    steps: tuple[StepResult, ...]
    """The results of the steps, in the order of the plan."""
    error: Optional[Failure] = None
    """Why no step ran (wrong spec, refused role), or why the run stopped (lost lock)."""
    environment: str = ""
    """The environment of the run; empty without one."""
    selected: tuple[str, ...] = ()
    """The steps, groups and parts of groups that ``only`` selected; empty for a whole run."""

    @property
    def action_steps(self) -> tuple[StepResult, ...]:
        """The results of the steps with an action: for a group, of its steps for each item."""
        found: list[StepResult] = []
        for step in self.steps:
            found += [each for item in step.items for each in item.steps] if step.items else [step]
        return tuple(found)
