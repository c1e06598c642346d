"""What happens during a run, as frozen values handed to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.errors import RoleRefused
    from rolerunner.model import Plan, RunResult, Step, StepResult


@dataclass(frozen=True)
class RunStarted:
    """The plan is about to run."""

    run_id: str
    plan: Plan


@dataclass(frozen=True)
class RoleAssumed:
    """A role's session is there."""

    role: str
    session_arn: str
    seconds: float


@dataclass(frozen=True)
class RoleWasRefused:
    """A role could not be assumed."""

    refusal: RoleRefused


@dataclass(frozen=True)
class StepStarted:
    """A step begins; ``session_arn`` is who it is, as CloudTrail shows it."""

    step: Step
    session_arn: str


@dataclass(frozen=True)
class StepProgress:
    """How far a step is. Totals are 0 while they are not known; bytes are bytes."""

    step_id: str
    objects: int
    bytes: int
    total_objects: int = 0
    total_bytes: int = 0


@dataclass(frozen=True)
class Note:
    """A line that a step has to say: a warning of an action, a user's own log line."""

    step_id: str
    level: str
    message: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class StepFinished:
    """A step ended, well or not."""

    result: StepResult


@dataclass(frozen=True)
class RunFinished:
    """The run ended, well or not."""

    result: RunResult


Event = Union[
    RunStarted,
    RoleAssumed,
    RoleWasRefused,
    StepStarted,
    StepProgress,
    Note,
    StepFinished,
    RunFinished,
]


class Observer(Protocol):
    """Whoever listens: the log, the terminal, the result file."""

    def notify(self, event: Event) -> None:
        """Take an event. Called from several threads, one at a time."""
