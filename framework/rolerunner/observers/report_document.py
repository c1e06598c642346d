"""Parses result files, version 1, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Optional

from pydantic import BaseModel, ConfigDict

from rolerunner.actions import find_action
from rolerunner.common.units import sum_numbers


class _Part(BaseModel):
    """A part of a result file; unknown fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True)


class ReportedError(_Part):
    """The error or warning of a step."""

    type: str = ""
    message: str = ""
    hint: str = ""


class ReportedStep(_Part):
    """The result of a step, in seconds; ``start`` is relative to the run's start."""

    id: str
    action: str
    role: str = ""
    status: str
    attempts: int = 0
    seconds: float = 0.0
    start: Optional[float] = None
    outputs: dict[str, Any] = {}
    error: Optional[ReportedError] = None
    reason: str = ""
    items: list[ReportedItem] = []
    """The items of a group."""
    roles: dict[str, str] = {}
    """Role field -> alias, of a step with different roles."""

    @property
    def role_names(self) -> list[str]:
        """The aliases of its roles."""
        return list(dict.fromkeys(self.roles.values())) or ([self.role] if self.role else [])

    @property
    def end(self) -> float:
        """The end, in seconds after the run's start."""
        return (self.start or 0.0) + self.seconds

    @property
    def bytes_moved(self) -> float:
        """Bytes that it transferred, not those that it listed or deleted."""
        if self.items:
            return sum(step.bytes_moved for item in self.items for step in item.steps)
        return self.number("bytes") or 0.0 if self.counts_transfers else 0.0

    @property
    def counts_transfers(self) -> bool:
        """True unless the action's counts are of listed or deleted objects."""
        action = find_action(self.action)
        return action is None or action.counts_transfers

    def number(self, output: str) -> Optional[float]:
        """Returns a numeric output, or the sum over items; for a group, of what it transferred."""
        if not self.items:
            return sum_numbers(self.outputs.get(output))
        inner = (step for item in self.items for step in item.steps if step.counts_transfers)
        return sum_numbers([step.number(output) for step in inner])


class ReportedItem(_Part):
    """The result of an item of a group."""

    item: str
    status: str
    steps: list[ReportedStep]


ReportedStep.model_rebuild()


class ReportedRole(_Part):
    """The session of a role."""

    role: str
    arn: str = ""
    session_arn: str = ""
    assume_calls: int = 0
    step: str = ""
    """The step with its own session; empty for a shared session."""


class ResultDocument(_Part):
    """A result file, version 1."""

    version: Literal[1]
    run_id: str
    job: str
    environment: str = ""
    status: str
    started: str
    seconds: float
    roles: list[ReportedRole]
    steps: list[ReportedStep]
    error: Optional[ReportedError] = None
    """Error that kept all steps from starting."""

    @property
    def action_steps(self) -> list[ReportedStep]:
        """The steps with an action; for a group, those of all its items."""
        return list_action_steps(self.steps)

    @property
    def title(self) -> str:
        """The name of the job, with its environment."""
        return f"{self.job} ({self.environment})" if self.environment else self.job


def list_action_steps(steps: Sequence[ReportedStep]) -> list[ReportedStep]:
    """Returns the steps with an action; for a group, those of all its items."""
    found: list[ReportedStep] = []
    for step in steps:
        inner = [each for item in step.items for each in item.steps]
        found += inner if step.items else [step]
    return found
