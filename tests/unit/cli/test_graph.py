"""``rolerunner graph``: the format that a file's suffix asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rolerunner.cli.graph import graph
from rolerunner.errors import UsageError

SPEC = """\
version: 1
name: nightly
params: {day: {type: date, default: 2026-01-01}}
steps:
  - {id: find, action: s3.list, role: job, source: "s3://landing/${{ params.day }}/"}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(SPEC)
    return str(path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(graph, arguments, catch_exceptions=False)


def test_standard_output_gets_mermaid_unless_it_is_to_be_svg(spec: str) -> None:
    assert call(spec).output.startswith("flowchart TD\n")
    assert call(spec, "--format", "svg").output.startswith("<svg ")


@pytest.mark.parametrize(
    ("name", "first"),
    [("a.svg", "<svg "), ("a.SVG", "<svg "), ("a.mmd", "flowchart"), ("a.md", "flowchart"),
     ("a", "flowchart")],
)  # fmt: skip
def test_the_suffix_decides(spec: str, tmp_path: Path, name: str, first: str) -> None:
    assert call(spec, "-o", str(tmp_path / name)).output == ""
    assert (tmp_path / name).read_text().startswith(first)


def test_an_explicit_format_wins_over_the_suffix(spec: str, tmp_path: Path) -> None:
    call(spec, "--format", "mermaid", "-o", str(tmp_path / "a.svg"))
    assert (tmp_path / "a.svg").read_text().startswith("flowchart")


def test_an_unknown_suffix_is_an_error(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown picture format '\.png'"):
        call(spec, "-o", str(tmp_path / "a.png"))
    assert not (tmp_path / "a.png").exists()
