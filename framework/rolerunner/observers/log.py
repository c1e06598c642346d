"""Events as log lines: JSON, one a line and flushed."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from rolerunner.events import Event, Note, RoleAssumed, RoleWasRefused, RunFinished, RunStarted, StepFinished, StepProgress, StepStarted
from rolerunner.observers.redact import redacted
from rolerunner.observers.result import plain_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Log:
    """Writes each event as one line. ``level`` is one of logging's names in lower case: lines of a lesser one are left out."""

    def __init__(self, stream: TextIO, *, level: str = "info") -> None:
        self._stream = stream
        self._least = _number(level)
        _take_over_logging(self, level)

    def notify(self, event: Event) -> None:
        """Take an event."""
        level, name, values = line_of(event)
        if name:
            self.write(_number(level), name, values)

    def write(self, level: int, event: str, values: Mapping[str, Any]) -> None:
        """One line, with no secret in it; ``level`` is one of logging's numbers."""
        if level < self._least:
            return
        moment = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = {**values, "event": event, "level": logging.getLevelName(level).lower(), "timestamp": moment}
        self._stream.write(json.dumps(redacted(line), ensure_ascii=False) + "\n")  # in one piece: several threads write
        self._stream.flush()


def line_of(event: Event) -> tuple[str, str, dict[str, Any]]:
    """level, name and values of an event's line; no name, no line."""
    if isinstance(event, RunStarted):
        job = event.plan.job
        return "info", "run_started", {"job": job.name, "run_id": event.run_id, "steps": len(event.plan.steps), "roles": len(event.plan.roles)}
    if isinstance(event, RoleAssumed):
        return "info", "role_assumed", {"role": event.role, "session_arn": event.session_arn, "seconds": round(event.seconds, 3)}
    if isinstance(event, RoleWasRefused):
        refusal = event.refusal
        return "error", "role_refused", {
            "role": refusal.role, "type": refusal.type, "asked_by": refusal.asked_by, "error": refusal.message, "hint": refusal.hint,
        }  # fmt: skip
    if isinstance(event, StepStarted):
        step = event.step
        return "info", "step_started", {"step": step.id, "action": step.action, "role": str(step.role or ""), "session_arn": event.session_arn}
    if isinstance(event, StepProgress):
        return "debug", "step_progress", {"step": event.step_id, "objects": event.objects, "bytes": event.bytes}
    if isinstance(event, Note):
        return event.level, event.message, {**({"step": event.step_id} if event.step_id else {}), **event.values}
    if isinstance(event, StepFinished):
        return _step_line(event)
    return _run_line(event)


def _step_line(event: StepFinished) -> tuple[str, str, dict[str, Any]]:
    result = event.result
    values: dict[str, Any] = {
        "step": result.id, "action": result.action, "role": result.role, "status": result.status,
        "seconds": result.seconds, "outputs": plain_outputs(result.outputs),
    }  # fmt: skip
    if result.reason:
        values["reason"] = result.reason
    if result.error is not None:
        values.update(type=result.error.type, error=result.error.message, hint=result.error.hint)
    level = {"failed": "error", "warning": "warning"}.get(result.status, "info")
    return level, "step_finished", values


def _run_line(event: RunFinished) -> tuple[str, str, dict[str, Any]]:
    result = event.result
    values: dict[str, Any] = {"job": result.job, "run_id": result.run_id, "status": result.status, "seconds": result.seconds}
    failed = next((step for step in result.steps if step.error is not None), None)
    if failed is not None and failed.error is not None:
        values.update(step=failed.id, error=failed.error.message)
    return "info" if result.status == "succeeded" else "warning" if result.status == "warning" else "error", "run_finished", values


class _Forward(logging.Handler):
    """Lines of the standard library's loggers (boto's, the user's), into the same stream and form."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        exception = {"exception": logging.Formatter().formatException(record.exc_info)} if record.exc_info else {}
        self._log.write(max(record.levelno, logging.DEBUG), record.getMessage(), {"logger": record.name, **exception})


def _take_over_logging(log: Log, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, _Forward)]
    root.addHandler(_Forward(log))
    root.setLevel(max(_number(level), logging.WARNING) if level != "debug" else logging.DEBUG)


def _number(level: str) -> int:
    return int(getattr(logging, level.upper()))


def standard_stream() -> TextIO:
    """stdout, flushed at every line: Glue's Python Shell buffers blocks otherwise."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)
    return sys.stdout
