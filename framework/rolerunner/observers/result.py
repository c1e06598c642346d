"""Writes the result file, also after a failure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rolerunner.common.files import write_file
from rolerunner.common.json_values import json_text, json_value, safe_text
from rolerunner.events import Event, RunFinished, RunStarted, StepStarted
from rolerunner.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rolerunner.model import Failure, ItemResult, RoleUse, RunResult, StepResult


class ResultFile:
    """Passes the result document to ``write`` when the run ends."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._began = time.monotonic()
        self._starts: dict[str, float] = {}
        self.is_written = False

    @classmethod
    def at(cls, path: Path) -> ResultFile:
        """Creates an observer that writes a local file atomically."""
        return cls(lambda data: write_file(path, data, private=True))

    def notify(self, event: Event) -> None:
        """Records when each step began; writes the result at the end."""
        if isinstance(event, RunStarted):
            self._began = time.monotonic()
        elif isinstance(event, StepStarted):
            self._starts.setdefault(event.step.id, time.monotonic() - self._began)
        elif isinstance(event, RunFinished):
            self._write(self.encode_result(event.result))
            self.is_written = True

    def encode_result(self, result: RunResult) -> bytes:
        """Returns the file's bytes for a result, with the recorded starts of steps."""
        return self.encode(build_result_document(result, self._starts))

    def encode(self, result: dict[str, Any]) -> bytes:
        """Returns a result document as bytes."""
        return (json_text(result) + "\n").encode()


def build_result_document(result: RunResult, starts: Mapping[str, float]) -> dict[str, Any]:
    """Returns a result as a document, version 1; ``starts`` are seconds after the run's start."""
    error = {"error": _describe_failure(result.error)} if result.error is not None else {}
    whole: dict[str, Any] = redact(
        {
            "version": 1,
            "run_id": result.run_id,
            "job": result.job,
            **({"environment": result.environment} if result.environment else {}),
            **({"selected": list(result.selected)} if result.selected else {}),
            "status": result.status,
            "started": result.started,
            "seconds": result.seconds,
            "roles": [_describe_role(use) for use in result.roles],
            "steps": [_describe_step(step, starts) for step in result.steps],
            **error,
        }
    )
    return whole


def _describe_role(use: RoleUse) -> dict[str, Any]:
    fields = {
        "role": use.role,
        "arn": use.arn,
        "session_arn": use.session_arn,
        "assume_calls": use.assume_calls,
    }
    return {**fields, "step": use.step} if use.step else fields


def _describe_failure(failure: Failure) -> dict[str, str]:
    fields: dict[str, str] = json_value(
        {"type": failure.type, "message": failure.message, "hint": failure.hint}
    )
    return fields


def _describe_step(step: StepResult, starts: Mapping[str, float]) -> dict[str, Any]:
    start = starts.get(step.id)
    fields: dict[str, Any] = {
        "id": step.id,
        "action": step.action,
        "role": step.role,
        **({"roles": dict(step.roles)} if step.roles else {}),
        "status": step.status,
        "attempts": step.attempts,
        "seconds": step.seconds,
        "outputs": to_plain_outputs(step.outputs),
    }
    if start is not None:
        fields["start"] = round(start, 3)
    if step.reason:
        fields["reason"] = json_value(step.reason)
    if step.error is not None:
        fields["error"] = _describe_failure(step.error)
    if step.items:
        fields["items"] = [_describe_item(item, starts) for item in step.items]
    return fields


def _describe_item(item: ItemResult, starts: Mapping[str, float]) -> dict[str, Any]:
    steps = [_describe_step(step, starts) for step in item.steps]
    return {"item": item.item, "status": item.status, "steps": steps}


def to_plain_outputs(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns outputs as JSON values of bounded size."""
    return {safe_text(name): json_value(value) for name, value in outputs.items()}
