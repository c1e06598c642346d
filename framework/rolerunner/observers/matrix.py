"""Adds up the steps of a group over its items: the columns of the matrix of items and steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Protocol

from rolerunner.common.units import sum_numbers
from rolerunner.lazy_dataclass import dataclass
from rolerunner.step_ids import local_name


class EndedStep(Protocol):
    """The result of a step, of a run or of a result file."""

    @property
    def id(self) -> str:
        """The step's id."""

    @property
    def status(self) -> str:
        """The step's status."""

    @property
    def seconds(self) -> float:
        """Wall time."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Outputs by name."""


class EndedItem(Protocol):
    """The result of an item of a group."""

    @property
    def status(self) -> str:
        """The item's status."""

    @property
    def steps(self) -> Sequence[EndedStep]:
        """The results of the steps for this item."""


@dataclass(frozen=True)
class ColumnTotal:
    """The totals of a step over all items of its group."""

    name: str
    statuses: Counter[str]
    count: Optional[float]
    """Objects; None if the step counts none."""
    bytes: Optional[float]
    seconds: float


def add_up_columns(items: Sequence[EndedItem]) -> list[ColumnTotal]:
    """Returns the totals of each step of a group."""
    columns = list(zip(*(item.steps for item in items)))
    return [_add_up_column(column) for column in columns]


def count_statuses(items: Sequence[EndedItem]) -> Counter[str]:
    """Returns how many items have each status."""
    return Counter(item.status for item in items)


def describe_statuses(statuses: Mapping[str, int]) -> str:
    """Returns the number of each status in words: ``9 succeeded, 1 failed``."""
    words = {"not_run": "not run"}
    return ", ".join(f"{count:,} {words.get(name, name)}" for name, count in statuses.items())


def _add_up_column(steps: Sequence[EndedStep]) -> ColumnTotal:
    return ColumnTotal(
        local_name(steps[0].id),
        Counter(step.status for step in steps),
        sum_numbers([step.outputs.get("count") for step in steps]),
        sum_numbers([step.outputs.get("bytes") for step in steps]),
        sum(step.seconds for step in steps),
    )
