"""Writes events as log lines: one JSON object each."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from rolerunner.common.json_values import json_value
from rolerunner.events import (
    AssumeRoleCalled,
    Event,
    ItemFinished,
    Note,
    RoleAssumed,
    RoleWasRefused,
    RunFinished,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
)
from rolerunner.model import GROUP
from rolerunner.observers.result import to_plain_outputs
from rolerunner.observers.streams import ESCAPE
from rolerunner.observers.transfer_rate import SparseProgress
from rolerunner.redaction.redact import redact
from rolerunner.redaction.tracebacks import format_message
from rolerunner.step_ids import StepId, is_inside_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.observers.transfer_rate import ProgressMeter

_PROGRESS_SECONDS = 60.0
"""Seconds between two lines on the progress of a step, unless all are asked for."""


class Log:
    """Writes each event of at least ``level``, a lower-case level, as a line."""

    def __init__(self, stream: TextIO, *, level: str = "info") -> None:
        self._stream = stream
        self._level = _get_level_number(level)
        self._lock = threading.Lock()
        _redirect_logging(self, level)

        self._progress = SparseProgress(_PROGRESS_SECONDS)

    def notify(self, event: Event) -> None:
        """Handles an event."""
        level, name, values = format_event(event)
        if isinstance(event, StepStarted):
            self._progress.add_step(event.step.id)
        elif isinstance(event, StepFinished):
            self._progress.remove_step(event.result.id)
        elif isinstance(event, StepProgress):
            meter = self._progress.update(event)
            if meter is not None:
                level, values = "info", {**values, **_describe_rate(meter)}
        if name:
            self.write(level, name, values)

    def write(self, level: str, name: str, values: Mapping[str, Any]) -> None:
        """Writes a line, with secrets redacted, unless its level is too low."""
        if _get_level_number(level) < self._level:
            return
        line: dict[str, Any] = {
            **values,
            "event": name,
            "level": level,
            "timestamp": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        shown = redact({key: json_value(value) for key, value in line.items()})
        text = json.dumps(shown, default=str, ensure_ascii=False)
        with self._lock:
            self._stream.write(f"{text}\n")
            self._stream.flush()


def format_event(event: Event) -> tuple[str, str, dict[str, Any]]:
    """Returns level, name and values of an event's line; an empty name means no line."""
    if isinstance(event, RunStarted):
        job = event.plan.job
        return (
            "info",
            "run_started",
            {
                "job": job.name,
                **({"environment": job.environment} if job.environment else {}),
                "run_id": event.run_id,
                "steps": len(event.plan.job.action_steps),
                "roles": len(event.plan.roles),
            },
        )
    if isinstance(event, RoleAssumed):
        return (
            "info",
            "role_assumed",
            {
                "role": event.role,
                "session_arn": event.session_arn,
                "seconds": round(event.seconds, 3),
            },
        )
    if isinstance(event, RoleWasRefused):
        refusal = event.refusal
        return (
            "error",
            "role_refused",
            {
                "role": refusal.role,
                "type": refusal.type,
                "asked_by": refusal.asked_by,
                "error": refusal.message,
                "hint": refusal.hint,
            },
        )
    if isinstance(event, StepStarted):
        step = event.step
        return (
            "info",
            "step_started",
            {
                **_name_step(step.id),
                "action": step.action,
                "role": step.role_name,
                "session_arn": event.session_arn,
            },
        )
    if isinstance(event, StepProgress):
        return (
            "debug",
            "step_progress",
            {**_name_step(event.step_id), **_describe_progress(event)},
        )
    if isinstance(event, Note):
        return (
            event.level,
            event.message,
            {**(_name_step(event.step_id) if event.step_id else {}), **event.values},
        )
    if isinstance(event, StepFinished):
        return _format_step_event(event)
    if isinstance(event, (ItemFinished, AssumeRoleCalled)):
        return "debug", "", {}
    return _format_run_event(event)


def _describe_progress(event: StepProgress) -> dict[str, int]:
    """Returns what is done, and the totals that are known."""
    totals = {
        f"total_{event.unit}s": event.total_objects,
        "total_bytes": event.total_bytes,
    }
    known = {name: value for name, value in totals.items() if value}
    return {f"{event.unit}s": event.objects, "bytes": event.bytes, **known}


def _describe_rate(meter: ProgressMeter) -> dict[str, int]:
    """Returns the rate and the seconds left, where they are known."""
    left = meter.seconds_left
    rates = {
        "bytes_per_second": round(meter.bytes_per_second),
        "seconds_left": 0 if left is None else round(left),
    }
    return {name: value for name, value in rates.items() if value}


def _format_step_event(event: StepFinished) -> tuple[str, str, dict[str, Any]]:
    result = event.result
    values: dict[str, Any] = {
        **_name_step(result.id),
        "action": result.action,
        "role": result.role,
        "status": result.status,
        "seconds": result.seconds,
        "outputs": to_plain_outputs(result.outputs),
    }
    if result.action == GROUP:  # the lines of its steps have their outputs
        from rolerunner.observers.matrix import count_statuses  # noqa: PLC0415 - few specs have groups

        values.pop("outputs")
        values["items"] = dict(count_statuses(result.items))
    if result.reason:
        values["reason"] = result.reason
    if result.error is not None:
        values.update(type=result.error.type, error=result.error.message, hint=result.error.hint)
    level = {"failed": "error", "warning": "warning"}.get(result.status, "info")
    return level, "step_finished", values


def _name_step(step_id: str) -> dict[str, str]:
    """Returns the id of a step; with the group and the item of one inside a group."""
    name = StepId.parse(step_id) if is_inside_group(step_id) else None
    parts = {} if name is None else {"group": name.step, "item": name.item}
    return {"step": step_id, **parts}


def _format_run_event(event: RunFinished) -> tuple[str, str, dict[str, Any]]:
    result = event.result
    values: dict[str, Any] = {
        "job": result.job,
        **({"environment": result.environment} if result.environment else {}),
        "run_id": result.run_id,
        "status": result.status,
        "seconds": result.seconds,
    }
    failed = next((step for step in result.steps if step.error is not None), None)
    if failed is not None and failed.error is not None:
        values.update(step=failed.id, error=failed.error.message)
    elif result.error is not None:
        values.update(type=result.error.type, error=result.error.message)
    return (
        "info"
        if result.status == "succeeded"
        else "warning"
        if result.status == "warning"
        else "error",
        "run_finished",
        values,
    )


class _ForwardingHandler(logging.Handler):
    """Forwards records of the standard library's loggers to the same stream."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        values = {"logger": record.name}
        with suppress(Exception):  # a record that cannot be written must not fail its caller
            if record.exc_info and record.exc_info[0] is not None:
                values["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            level = _name_level(record.levelno)
            self._log.write(level, format_message(record), values)


def _redirect_logging(log: Log, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [
        handler for handler in root.handlers if not isinstance(handler, _ForwardingHandler)
    ]
    root.addHandler(_ForwardingHandler(log))
    root.setLevel(
        max(_get_level_number(level), logging.WARNING) if level != "debug" else logging.DEBUG
    )


def _name_level(number: int) -> str:
    """Returns the name of the highest standard level that is not above ``number``."""
    names = ("debug", "info", "warning", "error", "critical")
    return names[min(max(number // 10, 1), len(names)) - 1]


def _get_level_number(level: str) -> int:
    return int(getattr(logging, level.upper()))


def configure_stdout() -> TextIO:
    """Returns stdout, line-buffered (Glue's Python Shell buffers blocks) and safe for any text."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True, errors=ESCAPE)
    return sys.stdout
