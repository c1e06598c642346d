"""Events of a run: frozen values passed to observers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.errors import RoleRefused
    from rolerunner.model import Failure, Plan, RunResult, Step, StepResult, StepStatus


@dataclass(frozen=True)
class RunStarted:
    """A run starts."""

    run_id: str
    plan: Plan


@dataclass(frozen=True)
class RoleAssumed:
    """A role was assumed."""

    role: str
    session_arn: str
    seconds: float


@dataclass(frozen=True)
class RoleWasRefused:
    """A role could not be assumed."""

    refusal: RoleRefused


@dataclass(frozen=True)
class AssumeRoleCalled:
    """A request for a session ended, also one that a step made or that renewed a session.

    Sent where traces are asked for.
    """

    role: str
    session_arn: str
    """Empty if the role was refused."""
    seconds: float
    refusal: Optional[RoleRefused] = None


@dataclass(frozen=True)
class StepStarted:
    """A step starts. ``session_arn`` is its identity as CloudTrail shows it."""

    step: Step
    session_arn: str


@dataclass(frozen=True)
class StepProgress:
    """Progress of a step. Totals are 0 while they are unknown."""

    step_id: str
    objects: int
    bytes: int
    total_objects: int = 0
    total_bytes: int = 0
    unit: str = "object"
    """The noun of what ``objects`` counts: object, or item of ``for_each``."""


@dataclass(frozen=True)
class Note:
    """A message about a step: a warning of an action, or a log line of the user's function."""

    step_id: str
    level: str
    message: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class StepFinished:
    """A step ended, with or without success."""

    result: StepResult


@dataclass(frozen=True)
class ItemFinished:
    """An item of a step with ``for_each``, or of a group, ended."""

    step_id: str
    item: str
    """The item's label."""
    status: StepStatus
    seconds: float
    error: Optional[Failure] = None
    """Why it failed; None for an item of a group, whose steps say it."""
    is_of_group: bool = False


@dataclass(frozen=True)
class RunFinished:
    """The run ended, with or without success."""

    result: RunResult


Event = Union[
    RunStarted,
    RoleAssumed,
    RoleWasRefused,
    AssumeRoleCalled,
    StepStarted,
    StepProgress,
    Note,
    StepFinished,
    ItemFinished,
    RunFinished,
]


class Observer(Protocol):
    """Receives the events of a run: the log, the terminal, the result file."""

    def notify(self, event: Event) -> None:
        """Handles an event. Called from several threads, one at a time."""
