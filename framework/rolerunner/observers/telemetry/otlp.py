"""Sends a trace of a run by OTLP over HTTP. The only importer of opentelemetry."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Optional

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rolerunner._version import __version__
from rolerunner.events import (
    AssumeRoleCalled,
    ItemFinished,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from rolerunner.observers.telemetry.background import BackgroundSender
from rolerunner.observers.telemetry.totals import MESSAGE_LENGTH, count_bytes, count_objects
from rolerunner.redaction.brief import redact_briefly
from rolerunner.step_ids import StepId, is_inside_group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan

    from rolerunner.events import Event
    from rolerunner.model import Failure, Job, OtlpSettings, StepResult

_BATCH = 512
"""Spans of one request, as the SDK's own batches have."""
_NANOSECONDS = 1_000_000_000
_LOG = logging.getLogger("rolerunner")


class OtlpTraces:
    """Makes a span of the run, of each step, item and AssumeRole.

    ``traceparent`` is the trace context of the caller; without one that of the environment counts.
    """

    def __init__(self, settings: OtlpSettings, traceparent: str = "") -> None:
        # each attempt would be a warning, and the end of the run has one for all of them
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
        self._exporter = OTLPSpanExporter(endpoint=settings.endpoint or None)
        self._sender = BackgroundSender("spans")
        self._parent = _read_parent(traceparent)
        self._collector = _SpanCollector(self._send)
        self._tracer: trace.Tracer = trace.NoOpTracer()
        self._run: Span = trace.INVALID_SPAN
        self._spans: dict[str, Span] = {}
        """Spans that have not ended, by the id of the step or of the group's item."""

    def notify(self, event: Event) -> None:
        """Handles an event."""
        if isinstance(event, RunStarted):
            self._start_run(event)
        elif isinstance(event, AssumeRoleCalled):
            self._add_role(event)
        elif isinstance(event, StepStarted):
            self._start_step(event)
        elif isinstance(event, StepFinished):
            self._finish_step(event.result)
        elif isinstance(event, ItemFinished):
            self._finish_item(event)
        elif isinstance(event, RunFinished):
            self._finish_run(event)

    def _start_run(self, event: RunStarted) -> None:
        job = event.plan.job
        provider = TracerProvider(resource=_create_resource(job), shutdown_on_exit=False)
        provider.add_span_processor(self._collector)
        self._tracer = provider.get_tracer("rolerunner", __version__)
        attributes = {"rolerunner.job": job.name, "rolerunner.run_id": event.run_id}
        if job.environment:
            attributes["rolerunner.environment"] = job.environment
        self._run = self._tracer.start_span(
            f"run {job.name}", context=self._parent, attributes=attributes
        )

    def _add_role(self, event: AssumeRoleCalled) -> None:
        attributes = {
            "rpc.system": "aws-api",
            "rpc.service": "STS",
            "rpc.method": "AssumeRole",
            "rolerunner.role": event.role,
        }
        if event.session_arn:
            attributes["rolerunner.session_arn"] = event.session_arn
        now = time.time_ns()
        span = self._tracer.start_span(
            "AssumeRole",
            context=trace.set_span_in_context(self._run),
            kind=SpanKind.CLIENT,
            start_time=now - int(event.seconds * _NANOSECONDS),
            attributes=attributes,
        )
        if event.refusal is not None:
            _set_error(span, event.refusal.type, event.refusal.message)
        span.end(now)

    def _start_step(self, event: StepStarted) -> None:
        step = event.step
        attributes = {"rolerunner.step": step.id, "rolerunner.action": step.action}
        if step.role_name:
            attributes["rolerunner.role"] = step.role_name
        if event.session_arn:
            attributes["rolerunner.session_arn"] = event.session_arn
        self._spans[step.id] = self._tracer.start_span(
            f"step {step.id}", context=self._find_parent(step.id), attributes=attributes
        )

    def _find_parent(self, step_id: str) -> Context:
        """Returns the context of a step: the run, or the item of its group."""
        if not is_inside_group(step_id):
            return trace.set_span_in_context(self._run)
        parsed = StepId.parse(step_id)
        item = str(StepId(parsed.step, parsed.item))
        if item not in self._spans:
            self._spans[item] = self._tracer.start_span(
                f"item {item}",
                context=trace.set_span_in_context(self._spans.get(parsed.step, self._run)),
                attributes={"rolerunner.step": parsed.step, "rolerunner.item": parsed.item},
            )
        return trace.set_span_in_context(self._spans[item])

    def _finish_step(self, result: StepResult) -> None:
        span = self._spans.pop(result.id, None)
        if span is None:  # it did not start
            return
        span.set_attribute("rolerunner.status", result.status)
        span.set_attribute("rolerunner.attempts", result.attempts)
        span.set_attribute("rolerunner.objects", count_objects(result))
        span.set_attribute("rolerunner.bytes", count_bytes(result))
        _end_span(span, result.error if result.status == "failed" else None)

    def _finish_item(self, event: ItemFinished) -> None:
        """Ends the span of a group's item, or adds that of an item of a step."""
        span = self._spans.pop(str(StepId(event.step_id, event.item)), None)
        if span is None and event.is_of_group:
            return  # no step of it started
        if span is None:
            span = self._tracer.start_span(
                f"item {event.step_id}[{event.item}]",
                context=trace.set_span_in_context(self._spans.get(event.step_id, self._run)),
                start_time=time.time_ns() - int(event.seconds * _NANOSECONDS),
                attributes={"rolerunner.step": event.step_id, "rolerunner.item": event.item},
            )
        if event.status == "failed" and event.error is None:
            span.set_status(Status(StatusCode.ERROR))
        _end_span(span, event.error)

    def _finish_run(self, event: RunFinished) -> None:
        result = event.result
        for span in reversed(list(self._spans.values())):  # of work that was abandoned
            span.end()
        self._spans.clear()
        self._run.set_attribute("rolerunner.status", result.status)
        failed = result.error or next((each.error for each in result.steps if each.error), None)
        if result.status in ("failed", "stopped") and failed is None:
            self._run.set_status(Status(StatusCode.ERROR, result.status))
        _end_span(self._run, failed if result.status in ("failed", "stopped") else None)
        self._collector.flush()
        self._sender.close()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it out

    def _send(self, spans: Sequence[ReadableSpan]) -> None:
        def export() -> None:
            if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
                raise ConnectionError("the server refused them, or there is none")

        self._sender.submit(export)


class _SpanCollector(SpanProcessor):
    """Passes the spans that have ended to ``send``, in batches."""

    def __init__(self, send: Callable[[Sequence[ReadableSpan]], None]) -> None:
        self._send = send
        self._ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keeps a span that is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._ended.append(span)
        if len(self._ended) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Passes on what is kept."""
        spans, self._ended = self._ended, []
        if spans:
            self._send(spans)


def _create_resource(job: Job) -> Resource:
    """Returns the resource of the spans: the service that the environment names, else the job."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if named else {SERVICE_NAME: job.name})


def _read_parent(traceparent: str) -> Optional[Context]:
    """Returns the trace context of the caller; warns of one that is not valid."""
    text = traceparent or os.environ.get("TRACEPARENT", "")
    if not text:
        return None
    carrier = {"traceparent": text, "tracestate": os.environ.get("TRACESTATE", "")}
    context = TraceContextTextMapPropagator().extract(carrier)
    if not trace.get_current_span(context).get_span_context().is_valid:
        _LOG.warning("traceparent '%s' is not valid: a new trace begins", text[:100])
    return context


def _set_error(span: Span, error_type: str, message: str) -> None:
    # one text that is not UTF-8, or a batch that is too large, would lose all spans of the batch
    span.set_attribute("error.type", redact_briefly(error_type, MESSAGE_LENGTH))
    span.set_status(Status(StatusCode.ERROR, redact_briefly(message, MESSAGE_LENGTH)))


def _end_span(span: Span, failure: Optional[Failure]) -> None:
    if failure is not None:
        _set_error(span, failure.type, failure.message)
    span.end()
