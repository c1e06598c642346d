"""The context of a step without AWS: progress and notes are collected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rolerunner.actions.base import StepContext
from rolerunner.common.cancellation import Cancel

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.events import StepProgress


@dataclass
class Recorded:
    """Everything that a step reported."""

    progress: list[StepProgress] = field(default_factory=list)
    notes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


def make_context(folder: Path, recorded: Recorded | None = None, **more: Any) -> StepContext:
    """Returns a context whose lists and spec are in ``folder``."""
    recorded = recorded or Recorded()
    values: dict[str, Any] = {
        "step_id": "work",
        "run_id": "r-1",
        "roles": {},
        "sessions": None,
        "open_storage": None,
        "workdir": folder,
        "project": folder,
        "params": {},
        "cancel": Cancel(),
        "progress": recorded.progress.append,
        "note": lambda level, message, values: recorded.notes.append((level, message, values)),
        **more,
    }
    return StepContext(**values)
