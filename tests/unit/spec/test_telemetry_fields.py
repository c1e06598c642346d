"""The ``telemetry`` section: what it means, and the places of its mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from rolerunner.model import EmfSettings, OpenLineageSettings, OtlpSettings, Telemetry

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """version: 1
name: a
params: {where: {type: string, required: true}}
telemetry:
  SECTION
environments:
  dev: {telemetry: {traces: {otlp: {endpoint: "https://dev/v1/traces"}}, metrics: null}}
  prod: {telemetry: {tracing: null}}
steps:
  - {id: put, action: s3.write, role: job, target: "s3://lake/done", text: x}
"""


def load(tmp_path: Path, section: str, env: str = "", **params: Any) -> Telemetry:
    (tmp_path / "a.yaml").write_text(SPEC.replace("SECTION", section))
    return api.load(tmp_path / "a.yaml", params, complete=False, env=env).telemetry


def find_mistakes(tmp_path: Path, section: str, env: str = "") -> list[str]:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, section, env)
    return [
        f"{each.mark.line}:{each.mark.column}: {each.message}" for each in raised.value.problems
    ]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("metrics: {emf: {namespace: a/b}}", Telemetry(EmfSettings("a/b"))),
        ("metrics: {emf: true}", Telemetry(EmfSettings())),
        ("metrics: {emf: false}", Telemetry()),
        ("metrics: {}", Telemetry()),
        ("traces: {otlp: true}", Telemetry(otlp=OtlpSettings())),
        (
            'lineage: {openlineage: {namespace: o, url: "https://l"}}',
            Telemetry(openlineage=OpenLineageSettings("o", "https://l")),
        ),
    ],
)
def test_sections(section: str, expected: Telemetry, tmp_path: Path) -> None:
    assert load(tmp_path, section) == expected


def test_params_and_environments(tmp_path: Path) -> None:
    section = 'metrics: {emf: true}\n  lineage: {openlineage: {url: "${{ params.where }}"}}'
    found = load(tmp_path, section, "dev", where="http://h")
    assert found == Telemetry(
        None, OpenLineageSettings("", "http://h"), OtlpSettings("https://dev/v1/traces")
    )
    without = Telemetry(EmfSettings(), OpenLineageSettings(), is_partial=True)
    assert load(tmp_path, section) == without


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("metrics: {emf: {namespace: AWS/Glue}}", "5:30: 'namespace' must be 1 to 255 letters"),
        ("metrics: {statsd: true}", "5:13: unknown key 'statsd'"),
        ("metrics: {emf: 3}", "5:18: 'emf' must be a mapping"),
        ('lineage: {openlineage: {url: "ftp://h"}}', "5:32: 'url' must be a URL"),
        ('lineage: {openlineage: {url: "https://u:p@h"}}', "5:32: 'url' cannot hold a user name"),
        ('lineage: {openlineage: {url: "https://["}}', "5:32: 'url' is not a URL"),
        ('lineage: {openlineage: {namespace: " "}}', "5:38: 'namespace' must be 1 to 255"),
        ('traces: {otlp: {endpoint: "https://h h"}}', "5:29: 'endpoint' must be a URL"),
    ],
)
def test_mistakes_have_places(section: str, message: str, tmp_path: Path) -> None:
    assert [each[: len(message)] for each in find_mistakes(tmp_path, section)] == [message]


def test_a_mistake_of_an_environment_is_at_its_line(tmp_path: Path) -> None:
    found = find_mistakes(tmp_path, "metrics: {emf: true}", "prod")
    assert [each[:29] for each in found] == ["8:22: unknown key 'tracing'"[:29]]
