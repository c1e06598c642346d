"""The result file: how the run ended, also after a failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rolerunner.events import Event, RunFinished
from rolerunner.storage.local import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import RunResult, StepResult


class ResultFile:
    """Writes the result where it is wanted, when the run ends."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    @classmethod
    def at(cls, path: Path) -> ResultFile:
        """A file on this machine; it is there whole or not at all."""
        return cls(lambda data: write_whole(path, data))

    def notify(self, event: Event) -> None:
        """Take the run's end."""
        if isinstance(event, RunFinished):
            self._write((json.dumps(as_json(event.result), indent=2, ensure_ascii=False) + "\n").encode())


def as_json(result: RunResult) -> dict[str, Any]:
    """The result in the form of the result file, version 1."""
    return {
        "version": 1,
        "run_id": result.run_id,
        "job": result.job,
        "status": result.status,
        "started": result.started,
        "seconds": result.seconds,
        "roles": [{"role": use.role, "arn": use.arn, "session_arn": use.session_arn, "assume_calls": use.assume_calls} for use in result.roles],
        "steps": [_step(step) for step in result.steps],
    }


def _step(step: StepResult) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": step.id, "action": step.action, "role": step.role, "status": step.status,
        "attempts": step.attempts, "seconds": step.seconds, "outputs": plain_outputs(step.outputs),
    }  # fmt: skip
    if step.reason:
        shown["reason"] = step.reason
    if step.error is not None:
        shown["error"] = {"type": step.error.type, "message": step.error.message, "hint": step.error.hint}
    return shown


def plain_outputs(outputs: Any) -> dict[str, Any]:
    """Outputs in plain JSON kinds: a large list stands as its count and the path of its manifest."""
    return {name: _plain(value) for name, value in outputs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.summary() if hasattr(value, "summary") else value
