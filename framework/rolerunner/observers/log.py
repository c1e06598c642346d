"""Writes events as log lines: one JSON object each. The only importer of structlog."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from rolerunner.common.deferred_imports import defer_import, hide_package
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
    from collections.abc import MutableMapping

    from rolerunner.observers.transfer_rate import ProgressMeter

# structlog uses asyncio in loggers that are awaited, and rich in tracebacks: 40 ms for nothing here
with defer_import("asyncio"), hide_package("rich"):
    import structlog

_PROGRESS_SECONDS = 60.0
"""Seconds between two lines on the progress of a step, unless all are asked for."""


class Log:
    """Writes each event of at least ``level``, a lower-case level, as a line."""

    def __init__(self, stream: TextIO, *, level: str = "info") -> None:
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                _redact_values,
                structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_get_level_number(level)),
        )
        _redirect_logging(self._log, level)
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
            getattr(self._log, level)(name, **values)


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
                **({"roles": step.several_roles} if step.several_roles else {}),
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
        **({"roles": dict(result.roles)} if result.roles else {}),
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


def _redact_values(
    _logger: Any, _method: str, values: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    shown: dict[str, Any] = redact({key: json_value(value) for key, value in values.items()})
    return shown


class _ForwardingHandler(logging.Handler):
    """Forwards records of the standard library's loggers to the same stream."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        exception = {"exc_info": record.exc_info} if record.exc_info else {}
        with suppress(Exception):  # a record that cannot be written must not fail its caller
            self._log.log(
                max(record.levelno, logging.DEBUG),
                format_message(record),
                logger=record.name,
                **exception,
            )


def _redirect_logging(log: Any, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [
        handler for handler in root.handlers if not isinstance(handler, _ForwardingHandler)
    ]
    root.addHandler(_ForwardingHandler(log))
    root.setLevel(
        max(_get_level_number(level), logging.WARNING) if level != "debug" else logging.DEBUG
    )


def _get_level_number(level: str) -> int:
    return int(getattr(logging, level.upper()))


def configure_stdout() -> TextIO:
    """Returns stdout, line-buffered (Glue's Python Shell buffers blocks) and safe for any text."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True, errors=ESCAPE)
    return sys.stdout
