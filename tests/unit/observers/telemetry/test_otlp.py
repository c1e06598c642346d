"""Spans of what ends without a start, of items, and of more than one request holds."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rolerunner.events import ItemFinished, RunFinished, RunStarted, StepFinished, StepStarted
from rolerunner.model import Failure, Job, OtlpSettings, Plan, RunResult, Step, StepResult
from rolerunner.observers.telemetry.otlp import OtlpTraces
from tests.telemetry_server import TelemetryServer, serve_telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

ERROR = 2
"""The code of a status (opentelemetry-proto, Status.StatusCode)."""


@dataclass
class Trace:
    """A run that is traced, and the spans that it sent once it has ended."""

    traces: OtlpTraces
    server: TelemetryServer
    spans: dict[str, Any] = field(default_factory=dict)

    def notify(self, *events: Any) -> None:
        for event in events:
            self.traces.notify(event)


@contextmanager
def tracing(traceparent: str = "", status: str = "succeeded") -> Iterator[Trace]:
    """Traces a run while the block runs."""
    job = Job("nightly", (), environment="prod")
    with serve_telemetry() as server:
        settings = OtlpSettings(f"{server.address}/v1/traces")
        trace = Trace(OtlpTraces(settings, traceparent), server)
        trace.notify(RunStarted("r1", Plan(job, (), ())))
        yield trace
        ended: Any = RunResult("r1", "nightly", status, "2026-01-31T00:00:00Z", 1.0, (), ())  # type: ignore[arg-type]  # one of the statuses
        trace.notify(RunFinished(ended))
        for _, body in server.received:
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    trace.spans.update((span.name, span) for span in scope.spans)


def attributes_of(span: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


def test_the_run_names_its_environment() -> None:
    with tracing() as trace:
        pass
    attributes = attributes_of(trace.spans["run nightly"])
    assert attributes["rolerunner.environment"] == "prod"
    assert attributes["rolerunner.status"] == "succeeded"


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_a_run_that_ends_without_an_error_of_a_step_has_failed(status: str) -> None:
    with tracing(status=status) as trace:
        pass
    span = trace.spans["run nightly"]
    assert (span.status.code, span.status.message) == (ERROR, status)


def test_what_did_not_start_has_no_span() -> None:
    with tracing() as trace:
        trace.notify(
            StepFinished(StepResult("a", "s3.copy", "", "skipped")),
            ItemFinished("group", "1", "skipped", 0.0, is_of_group=True),
        )
    assert list(trace.spans) == ["run nightly"]


def test_an_item_of_a_step_begins_when_it_began() -> None:
    with tracing() as trace:
        trace.notify(
            StepStarted(Step("a", "s3.copy", {}), ""),
            ItemFinished("a", "1", "failed", 2.0, Failure("AccessDenied", "refused")),
            ItemFinished("a", "2", "succeeded", 0.5),
            StepFinished(StepResult("a", "s3.copy", "", "failed", 1)),
        )
    step, failed, done = (trace.spans[name] for name in ("step a", "item a[1]", "item a[2]"))
    assert failed.parent_span_id == done.parent_span_id == step.span_id
    assert failed.end_time_unix_nano - failed.start_time_unix_nano >= 2_000_000_000
    assert attributes_of(failed)["error.type"] == "AccessDenied"
    assert (failed.status.code, done.status.code) == (ERROR, 0)


def test_an_item_of_a_group_has_failed_with_its_steps() -> None:
    with tracing() as trace:
        trace.notify(
            StepStarted(Step("group[1].a", "s3.copy", {}), ""),
            StepFinished(StepResult("group[1].a", "s3.copy", "", "failed", 1)),
            ItemFinished("group", "1", "failed", 1.0, is_of_group=True),
            StepStarted(Step("group[2].a", "s3.copy", {}), ""),
        )
    assert trace.spans["item group[1]"].status.code == ERROR
    # work that was abandoned ends with the run
    assert {"step group[2].a", "item group[2]"} <= trace.spans.keys()


def test_spans_are_sent_in_batches() -> None:
    with tracing() as trace:
        for number in range(600):
            trace.notify(ItemFinished("a", str(number), "succeeded", 0.0))
    assert len(trace.server.received) == 2
    assert len(trace.spans) == 601


def test_a_trace_that_is_not_sampled_is_not_sent() -> None:
    with tracing("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00") as trace:
        pass
    assert trace.spans == {}


def test_a_parent_that_is_not_valid_begins_a_new_trace(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "rolerunner"), tracing("no traceparent") as trace:
        pass
    assert "traceparent 'no traceparent' is not valid" in caplog.text
    assert trace.spans["run nightly"].parent_span_id == b""


def test_a_hostile_message_loses_no_spans() -> None:
    with tracing() as trace:
        for number in range(300):
            id_ = f"s{number}"
            trace.notify(
                StepStarted(Step(id_, "s3.copy", {}), ""),
                StepFinished(
                    StepResult(
                        id_,
                        "s3.copy",
                        "",
                        "failed",
                        1,
                        error=Failure("\ud800", "\x00\udcff" * 5_000, ""),
                    )
                ),
            )
    assert len(trace.spans) == 301
    assert max(len(body) for _, body in trace.server.received) < 4_000_000
