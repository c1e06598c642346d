"""Writes metrics as lines of CloudWatch's embedded metric format. Imports aws_embedded_metrics.

CloudWatch Logs turns each line into metrics, so nothing is sent from here and no permission is
needed. The library's logger is not used: it looks for the metadata service of EC2 and for an agent
with asyncio, where a line on stdout is all that Glue needs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from aws_embedded_metrics.logger.metrics_context import MetricsContext
from aws_embedded_metrics.serializers.log_serializer import LogSerializer

from rolerunner.events import RoleWasRefused, RunFinished, RunStarted, StepFinished
from rolerunner.observers.telemetry.totals import (
    count_bytes,
    count_objects,
    is_refused,
    moves_objects,
    name_without_item,
)
from rolerunner.redaction.redact import redact_text
from rolerunner.step_ids import is_inside_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.events import Event
    from rolerunner.model import EmfSettings, RunResult, StepResult

DEFAULT_NAMESPACE = "rolerunner"
_UNITS = {
    "Seconds": "Seconds",
    "Objects": "Count",
    "Bytes": "Bytes",
    "Attempts": "Count",
    "Refusals": "Count",
}
"""Metric -> its unit."""


class EmfMetrics:
    """Writes the metrics of each step, and at the end those of the run.

    The steps inside a group have one line for all items together, so that items, which may be many
    and new ones every night, become no metrics of their own.
    """

    def __init__(self, settings: EmfSettings) -> None:
        self._namespace = (
            settings.namespace or os.environ.get("AWS_EMF_NAMESPACE") or DEFAULT_NAMESPACE
        )
        self._job = self._environment = self._run_id = ""
        self._refusals = 0
        self._lines: list[str] = []

    def notify(self, event: Event) -> None:
        """Handles an event."""
        if isinstance(event, RunStarted):
            job = event.plan.job
            self._job, self._environment = job.full_name, job.environment
            self._run_id = event.run_id
        elif isinstance(event, RoleWasRefused):
            self._refusals += 1
        elif isinstance(event, StepFinished):
            self._add_step(event.result)
        elif isinstance(event, RunFinished):
            self._add_run(event.result)
            self._write_lines()

    def _add_step(self, result: StepResult) -> None:
        """Adds the lines of a step; those of steps inside a group come with the group."""
        if is_inside_group(result.id):
            return
        self._add_line(result.id, result.status, [result])
        groups: dict[tuple[str, str], list[StepResult]] = {}
        for item in result.items:
            for each in item.steps:
                groups.setdefault((name_without_item(each.id), each.status), []).append(each)
        for (step, status), results in groups.items():
            self._add_line(step, status, results)
        if not sys.stdout.isatty():  # a terminal's progress is drawn over lines
            self._write_lines()

    def _add_line(self, step: str, status: str, results: Sequence[StepResult]) -> None:
        names = {"job": self._job, "step": step}
        # a step that did not run would pull down the averages of those that did
        plain = [] if status in ("skipped", "not_run") else [names]
        context = self._create_context([*plain, {**names, "status": status}])
        for result in results:
            inner = [each for item in result.items for each in item.steps] or [result]
            _put_metrics(context, result.seconds, inner, moved=inner, refusals=0)
        self._serialize(context)

    def _add_run(self, result: RunResult) -> None:
        job = {"job": self._job or result.job or "unknown"}
        context = self._create_context([job, {**job, "status": result.status}])
        steps = result.action_steps
        moved = [step for step in steps if moves_objects(step)]
        _put_metrics(context, result.seconds, steps, moved=moved, refusals=self._refusals)
        self._serialize(context)

    def _create_context(self, dimensions: list[dict[str, str]]) -> MetricsContext:
        masked = [{key: redact_text(each) for key, each in one.items()} for one in dimensions]
        properties: dict[str, Any] = {"run_id": self._run_id}
        if self._environment:
            properties["environment"] = self._environment
        context = MetricsContext(namespace=self._namespace, properties=properties)
        context.set_dimensions(masked)
        return context

    def _serialize(self, context: MetricsContext) -> None:
        self._lines += LogSerializer.serialize(context)

    def _write_lines(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()


def _put_metrics(
    context: MetricsContext,
    seconds: float,
    steps: Sequence[StepResult],
    *,
    moved: Sequence[StepResult],
    refusals: int,
) -> None:
    values = {
        "Seconds": seconds,
        "Objects": sum(map(count_objects, moved)),
        "Bytes": sum(map(count_bytes, moved)),
        "Attempts": sum(step.attempts for step in steps),
        "Refusals": refusals + sum(map(is_refused, steps)),
    }
    for name, value in values.items():
        context.put_metric(name, value, _UNITS[name])
