"""Runs that report metrics, lineage and traces, to real servers."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rolerunner import api
from rolerunner.errors import RolesRefused, UsageError
from rolerunner.glue.launch.entry import main
from rolerunner.observers.telemetry.background import BackgroundSender
from rolerunner.redaction.secrets import register_secret
from tests.conftest import identity_of
from tests.emf_schema import read_emf_line
from tests.lineage_model import check_run_event
from tests.telemetry_server import serve_telemetry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

pytestmark = pytest.mark.once

READER = "arn:aws:iam::222233334444:role/reader"
WORLD = f"""
version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - arn: arn:aws:iam::111122223333:role/job
    permissions:
      - {{Effect: Allow, Action: sts:AssumeRole, Resource: "arn:aws:iam::222233334444:role/*"}}
      - {{Effect: Allow, Action: "s3:*", Resource: "arn:aws:s3:::lake*"}}
  - arn: {READER}
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::111122223333:root"}},
              Action: sts:AssumeRole}}]
    permissions:
      - {{Effect: Allow, Action: "s3:*", Resource: ["arn:aws:s3:::landing*"]}}
buckets:
  - {{name: landing, account: "222233334444", objects: [{{key: north/a.csv, text: abc}},
      {{key: south/b.csv, text: de}}]}}
  - {{name: lake, account: "111122223333"}}
"""
SPEC = """
version: 1
name: nightly
params: {server: {default: "http://127.0.0.1:9"}}
roles:
  reader: arn:aws:iam::222233334444:role/reader
  nobody: arn:aws:iam::222233334444:role/nobody
telemetry: TELEMETRY
steps:
"""
STEPS = """
  - id: partners
    for_each: [{name: north}, {name: south}]
    steps:
      - {id: fetch, action: s3.download, role: reader, source: "s3://landing/${{ item.name }}/",
         target: "TMP/in/${{ item.name }}/"}
  - {id: publish, action: s3.upload, role: job, source: "TMP/in/", target: "s3://lake/orders/"}
  - {id: each, for_each: [one, two], action: s3.write, role: job,
     target: "s3://lake/marks/${{ item }}", text: x}
"""
FAILS = """
  - {id: find, action: s3.list, role: reader, source: "s3://landing/none/"}
"""
REFUSED = """
  - {id: read, action: s3.read, role: job, source: "s3://landing/north/a.csv", format: text}
"""
EMF = "{metrics: {emf: {namespace: jobs/nightly}}}"
LINEAGE = '{lineage: {openlineage: {namespace: orders, url: "${{ params.server }}"}}}'
TRACES = '{traces: {otlp: {endpoint: "${{ params.server }}/v1/traces"}}}'


def run(
    tmp_path: Path, aws: Sandbox, section: str, steps: str, traceparent: str = "", **params: str
) -> Any:
    """Runs a spec; returns its result, or None if a role was refused."""
    spec = tmp_path / "nightly.yaml"
    text = SPEC.replace("TELEMETRY", section) + steps.replace("TMP", str(tmp_path))
    spec.write_text(text)
    with contextlib.suppress(RolesRefused):
        return api.run(api.load(spec, params), identity=identity_of(aws), traceparent=traceparent)
    return None


def read_metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Returns the lines on stdout, each checked by AWS's schema and rules."""
    lines = [read_emf_line(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        directive = line["_aws"]["CloudWatchMetrics"][0]
        assert not {"run_id", "item"} & {name for one in directive["Dimensions"] for name in one}
    return lines


def test_metrics_of_steps_groups_and_the_run(
    aws: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(tmp_path, aws, EMF, STEPS)
    assert result.status == "succeeded", result
    lines = read_metrics(capsys)
    by_step = {line.get("step", ""): line for line in lines}
    assert set(by_step) == {"partners", "partners.fetch", "publish", "each", ""}
    fetch, whole = by_step["partners.fetch"], by_step[""]
    assert fetch["Bytes"] == [3, 2]
    assert fetch["Objects"] == [1, 1]
    assert len(fetch["Seconds"]) == 2
    assert (by_step["partners"]["Objects"], by_step["publish"]["Bytes"]) == (2, 5)
    assert (whole["Objects"], whole["Bytes"], whole["Refusals"]) == (4, 12, 0)
    assert (whole["run_id"], whole["job"], whole["status"]) == (
        result.run_id,
        "nightly",
        "succeeded",
    )
    directives = [each["_aws"]["CloudWatchMetrics"][0] for each in (whole, fetch)]
    assert {each["Namespace"] for each in directives} == {"jobs/nightly"}
    assert [each["Dimensions"] for each in directives] == [
        [["job"], ["job", "status"]],
        [["job", "step"], ["job", "step", "status"]],
    ]


def test_metrics_count_refusals_of_steps_and_roles(
    aws: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, aws, "{metrics: {emf: true}}", REFUSED)
    step, whole = read_metrics(capsys)
    assert (step["status"], step["Refusals"]) == ("failed", 1)
    assert (whole["status"], whole["Refusals"]) == ("failed", 1)
    assert run(tmp_path, aws, EMF, FAILS.replace("reader", "nobody")) is None
    step, whole = read_metrics(capsys)
    assert (step["status"], whole["Refusals"]) == ("not_run", 1)
    assert step["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["job", "step", "status"]]


def test_metrics_stand_among_lines_of_json(rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        SPEC.replace("TELEMETRY", EMF)
        + '  - {id: hello, action: python.call, function: "hello:hello"}\n'
    )
    (tmp_path / "hello.py").write_text(
        "def hello(context):\n    print('printed')\n    return {'count': 3, 'bytes': 7}\n"
    )
    for form in ("json", "console"):
        completed = rolerunner("run", "job.yaml", "--log-format", form, AWS_REGION="eu-west-1")
        assert completed.returncode == 0, completed.stderr
        lines = [line for line in completed.stdout.splitlines() if '"_aws"' in line]
        assert len(lines) == 2
        assert [read_emf_line(line)["Objects"] for line in lines] == [3, 3]


@dataclass
class Lineage:
    events: list[dict[str, Any]]

    def of(self, job: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["job"]["name"] == job]


def read_lineage(received: list[tuple[str, bytes]]) -> Lineage:
    """Returns the events, each checked by OpenLineage's model."""
    events = [json.loads(body) for _, body in received]
    assert {path for path, _ in received} == {"/api/v1/lineage"}
    for event in events:
        uuid.UUID(event["run"]["runId"])
        check_run_event(event)
    return Lineage(events)


def test_lineage_of_a_run(aws: Sandbox, tmp_path: Path) -> None:
    with serve_telemetry() as server:
        result = run(tmp_path, aws, LINEAGE, STEPS, server=server.address)
    assert result.status == "succeeded"
    lineage = read_lineage(server.received)
    start, end = lineage.of("nightly")
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    inputs = {(each["namespace"], each["name"]) for each in end["inputs"]}
    outputs = {(each["namespace"], each["name"]) for each in end["outputs"]}
    assert inputs == {("s3://landing", "north"), ("s3://landing", "south")}
    assert outputs >= {("s3://lake", "orders")}
    fetched = lineage.of("nightly.partners.fetch")
    assert sorted(each["eventType"] for each in fetched) == [
        "COMPLETE",
        "COMPLETE",
        "START",
        "START",
    ]
    assert len({each["run"]["runId"] for each in fetched}) == 2
    facets = fetched[0]["run"]["facets"]
    assert facets["parent"]["run"]["runId"] == start["run"]["runId"]
    session = facets["rolerunner_session"]
    assert session["role"] == "reader"
    assert session["roles"][0]["arn"] == READER
    assert ":assumed-role/reader/nightly-" in session["sessionArn"]
    assert {each["job"]["namespace"] for each in lineage.events} == {"orders"}


def test_lineage_names_the_job_that_a_step_starts(aws: Sandbox, tmp_path: Path) -> None:
    start = (
        "\n  - {id: start, action: glue.run, role: reader, job: load-orders, region: eu-west-1}\n"
    )
    with serve_telemetry() as server:
        run(tmp_path, aws, LINEAGE, start, server=server.address)
    for event in read_lineage(server.received).of("nightly.start"):
        (job,) = event["run"]["facets"]["jobDependencies"]["downstream"]
        assert job["dependency_type"] == "DIRECT_INVOCATION"
        account = READER.split(":")[4]
        namespace = f"arn:aws:glue:eu-west-1:{account}"
        assert job["job"] == {"namespace": namespace, "name": "job/load-orders"}


def test_lineage_of_a_failure_without_its_secret(aws: Sandbox, tmp_path: Path) -> None:
    register_secret("none-of-your-business")
    steps = FAILS.replace("landing/none/", "landing/none-of-your-business/")
    with serve_telemetry() as server:
        run(tmp_path, aws, LINEAGE, steps, server=server.address)
    lineage = read_lineage(server.received)
    for job in ("nightly", "nightly.find"):
        end = lineage.of(job)[-1]
        assert end["eventType"] == "FAIL"
        assert end["run"]["facets"]["errorMessage"]["message"].startswith("EmptySource: ")
        assert end["run"]["facets"]["errorMessage"]["programmingLanguage"] == "PYTHON"
    assert not any(b"none-of-your-business" in body for _, body in server.received)


@pytest.mark.parametrize("behaviour", ["hang", "refuse", "absent"])
@pytest.mark.parametrize("section", [LINEAGE, TRACES], ids=["lineage", "traces"])
def test_a_server_that_does_not_take_it_costs_a_warning(
    section: str,
    behaviour: str,
    aws: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BackgroundSender.close, "__defaults__", (1.0,))
    with serve_telemetry(behaviour) as server, caplog.at_level(logging.WARNING, "rolerunner"):
        began = time.monotonic()
        address = "http://127.0.0.1:9" if behaviour == "absent" else server.address
        result = run(tmp_path, aws, section, STEPS, server=address)
        elapsed = time.monotonic() - began
    assert result.status == "succeeded"
    assert elapsed - result.seconds < 10  # a request that hangs would take 30
    warnings = [each.getMessage() for each in caplog.records if each.name == "rolerunner"]
    assert len(warnings) == 1, warnings
    assert "could not be sent: " in warnings[0]


def read_spans(received: list[tuple[str, bytes]]) -> dict[str, Any]:
    """Returns the spans by their names, decoded with OTLP's own messages."""
    spans = {}
    for path, body in received:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert names["service.name"] == "nightly"
            for scope in resource.scope_spans:
                spans.update({span.name: span for span in scope.spans})
    return spans


def attributes_of(span: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def test_a_trace_has_spans_of_steps_items_and_roles(aws: Sandbox, tmp_path: Path) -> None:
    trace_id, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with serve_telemetry() as server:
        traceparent = f"00-{trace_id}-{caller}-01"
        result = run(tmp_path, aws, TRACES, STEPS, traceparent, server=server.address)
    assert result.status == "succeeded"
    spans = read_spans(server.received)
    names = {span.span_id: name for name, span in spans.items()}
    parents = {name: names.get(span.parent_span_id, "") for name, span in spans.items()}
    assert parents == {
        "run nightly": "",
        "AssumeRole": "run nightly",
        "step partners": "run nightly",
        "item partners[north]": "step partners",
        "item partners[south]": "step partners",
        "step partners[north].fetch": "item partners[north]",
        "step partners[south].fetch": "item partners[south]",
        "step publish": "run nightly",
        "step each": "run nightly",
        "item each[one]": "step each",
        "item each[two]": "step each",
    }
    whole = spans["run nightly"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (trace_id, caller)
    assert {span.trace_id for span in spans.values()} == {whole.trace_id}
    for name, span in spans.items():
        assert span.start_time_unix_nano <= span.end_time_unix_nano, name
    assert attributes_of(whole)["rolerunner.run_id"] == result.run_id
    fetch = attributes_of(spans["step partners[north].fetch"])
    assert (fetch["rolerunner.status"], fetch["rolerunner.bytes"]) == ("succeeded", 3)
    assert ":assumed-role/reader/" in fetch["rolerunner.session_arn"]


def test_a_trace_of_a_failure_takes_its_parent_from_the_environment(
    aws: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_id = "1af7651916cd43dd8448eb211c80319c"
    monkeypatch.setenv("TRACEPARENT", f"00-{trace_id}-b7ad6b7169203331-01")
    with serve_telemetry() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.address)
        run(tmp_path, aws, "{traces: {otlp: true}}", FAILS)
    spans = read_spans(server.received)
    for name in ("run nightly", "step find"):
        assert spans[name].trace_id.hex() == trace_id
        assert spans[name].status.code == 2
        assert attributes_of(spans[name])["error.type"] == "EmptySource"


def test_a_refused_role_is_a_span_with_an_error(aws: Sandbox, tmp_path: Path) -> None:
    with serve_telemetry() as server:
        run(tmp_path, aws, TRACES, FAILS.replace("reader", "nobody"), server=server.address)
    spans = read_spans(server.received)
    assert spans["AssumeRole"].status.code == 2
    assert attributes_of(spans["AssumeRole"])["rolerunner.role"] == "nobody"
    assert spans["run nightly"].status.code == 2


def test_a_role_that_a_step_needs_first_has_a_span(aws: Sandbox, tmp_path: Path) -> None:
    with serve_telemetry() as server:
        section = f"{TRACES}\nassume: lazily"
        result = run(tmp_path, aws, section, STEPS, server=server.address)
    assert result.status == "succeeded"
    span = read_spans(server.received)["AssumeRole"]
    assert ":assumed-role/reader/" in attributes_of(span)["rolerunner.session_arn"]


def test_the_entry_script_of_glue_passes_the_trace_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "counted_in_glue.py").write_text(
        "def count(context):\n    return {'count': 3, 'bytes': 7}\n"
    )
    trace_id = "2af7651916cd43dd8448eb211c80319c"
    with serve_telemetry() as server:
        spec = tmp_path / "nightly.yaml"
        endpoint = f"{server.address}/v1/traces"
        section = f'{{metrics: {{emf: true}}, traces: {{otlp: {{endpoint: "{endpoint}"}}}}}}'
        spec.write_text(
            SPEC.replace("TELEMETRY", section)
            + '  - {id: count, action: python.call, function: "counted_in_glue:count"}\n'
        )
        arguments = ["--traceparent", f"00-{trace_id}-b7ad6b7169203331-01"]
        main(["run_spec.py", "--job_spec", str(spec), *arguments])
    assert read_spans(server.received)["step count"].trace_id.hex() == trace_id
    lines = [line for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [read_emf_line(line)["Objects"] for line in lines] == [3, 3]


def test_a_missing_package_is_named_before_anything_runs(
    aws: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client.client", None)
    monkeypatch.delitem(sys.modules, "rolerunner.observers.telemetry.openlineage", raising=False)
    with pytest.raises(UsageError) as raised:
        run(tmp_path, aws, LINEAGE, STEPS)
    assert "pip install 'rolerunner[lineage]'" in str(raised.value)
    assert "a Glue job gets it by 'rolerunner deploy'" in str(raised.value)
