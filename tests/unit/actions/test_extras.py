from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner import api
from rolerunner.actions.builtin.s3_write import S3Write
from rolerunner.actions.extras import RequiredExtra, find_required_extras

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

SPEC = """version: 1
name: a
params: {where: {type: string, required: true}}
TELEMETRY
steps:
  - {id: put, action: s3.write, role: job, target: "s3://lake/done", text: x}
  - id: group
    for_each: [a, b]
    steps:
      - {id: again, action: s3.write, role: job, target: "s3://lake/${{ item }}", text: zipped}
"""


def find_extras(tmp_path: Path, telemetry: str = "") -> tuple[RequiredExtra, ...]:
    (tmp_path / "a.yaml").write_text(SPEC.replace("TELEMETRY", telemetry))
    return find_required_extras(api.load(tmp_path / "a.yaml", complete=False))


def test_a_spec_without_such_features_needs_none(tmp_path: Path) -> None:
    assert find_extras(tmp_path) == ()
    assert find_extras(tmp_path, "telemetry: {metrics: {emf: false}}") == ()


def test_telemetry_needs_an_extra_for_each_report_also_without_the_param(tmp_path: Path) -> None:
    telemetry = (
        'telemetry: {traces: {otlp: {endpoint: "${{ params.where }}"}}, metrics: {emf: true}}'
    )
    assert find_extras(tmp_path, telemetry) == (
        RequiredExtra("metrics", "telemetry.metrics"),
        RequiredExtra("traces", "telemetry.traces"),
    )


def test_an_action_names_extras_by_its_fields_and_each_appears_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_extras(cls: type[S3Write], fields: Mapping[str, Any]) -> tuple[str, ...]:
        return ("zip", "tape") if fields["text"] == "zipped" else ("tape",)

    monkeypatch.setattr(S3Write, "list_extras", classmethod(list_extras))
    assert find_extras(tmp_path) == (
        RequiredExtra("tape", "step 'put'"),
        RequiredExtra("zip", "step 'group.again'"),
    )
