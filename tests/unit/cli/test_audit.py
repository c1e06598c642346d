"""``rolerunner audit``: its output, its exit status, and the environments of a spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rolerunner.audit import list_rules
from rolerunner.cli.audit import audit, format_rules
from rolerunner.errors import SpecError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PUBLIC = """\
version: 1
name: publish
environments:
  dev: {}
steps:
  - {id: put, action: s3.write, role: job, target: s3://box/a, text: x, acl: public-read}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "publish.yaml"
    path.write_text(PUBLIC)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(each) for each in arguments])


def test_each_rule_is_a_row() -> None:
    lines = format_rules().splitlines()
    assert len(lines) == 2 + len(list_rules())
    assert all(line.count(" | ") >= 4 for line in lines[2:])
    assert run("--rules").output == format_rules() + "\n"


def test_a_finding_of_several_environments_is_one(spec: Path) -> None:
    findings = json.loads(run(spec, "--format", "json", "--fail-on", "none").output)["findings"]
    places = [(each["rule"], each["line"], each["column"]) for each in findings]
    assert findings
    assert len(places) == len(set(places))


def test_the_exit_status_is_that_of_the_worst_finding(spec: Path) -> None:
    findings = json.loads(run(spec, "--format", "json", "--fail-on", "none").output)["findings"]
    worst = {each["severity"] for each in findings}
    assert "high" in worst
    assert run(spec).exit_code == 4
    assert run(spec, "--fail-on", "none").exit_code == 0


def test_findings_below_a_severity_are_hidden(spec: Path) -> None:
    shown = run(spec, "--min-severity", "high", "--fail-on", "none").output
    assert shown.rstrip().splitlines()[-1].startswith("1 spec: ")
    assert " low" not in shown
    assert f"{spec}:6:" in shown


def test_output_may_go_to_a_file(spec: Path, tmp_path: Path) -> None:
    made = run(spec, "--format", "sarif", "-o", tmp_path / "found.sarif", "--fail-on", "none")
    assert (made.exit_code, made.output) == (0, "")
    assert json.loads((tmp_path / "found.sarif").read_text())["runs"]


def test_wrong_specs_are_reported_together(spec: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("version: 1\nname: x\nstep: []\n")
    error = run(tmp_path / "a.yaml", tmp_path / "b.yaml", spec).exception
    assert isinstance(error, SpecError)
    assert {each.mark.file for each in error.problems} == {
        str(tmp_path / "a.yaml"),
        str(tmp_path / "b.yaml"),
    }


def test_a_role_that_is_none(spec: Path) -> None:
    error = run(spec, "--job-role", "glue").exception
    assert isinstance(error, UsageError)
    assert str(error).startswith("--job-role: ")
