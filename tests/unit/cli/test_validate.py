"""``rolerunner validate``: the forms of its output, and files that are no specs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rolerunner.cli.validate import _format_annotation, validate
from rolerunner.errors import Mark, Problem, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

GOOD = """\
version: 1
name: nightly
steps:
  - {id: find, action: s3.list, role: job, source: s3://box/}
"""


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(GOOD.replace("s3.list", "s3.lst"))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(validate, [str(each) for each in arguments])


def test_specs_without_mistakes_are_counted(specs: Path) -> None:
    made = run(specs / "good.yaml", specs / "g*.yaml")
    assert (made.exit_code, made.output) == (0, "2 specs checked, no mistakes\n")


def test_mistakes_of_all_specs_are_reported(specs: Path) -> None:
    made = run(specs / "*.yaml", "--format", "json")
    (mistake,) = json.loads(made.stdout)
    assert made.exit_code == 2
    assert (mistake["file"], mistake["line"]) == (str(specs / "bad.yaml"), 4)
    assert mistake["message"] == "unknown action 's3.lst'"
    assert mistake["hint"] == "did you mean 's3.list'?"


def test_an_annotation_is_escaped() -> None:
    problem = Problem(Mark("a:b,c.yaml", 2, 3), "100%\nwrong", "see: x")
    assert _format_annotation(problem) == (
        "::error file=a%3Ab%2Cc.yaml,line=2,col=3::100%25%0Awrong (see: x)"
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.sandbox.yaml", "'rolerunner run SPEC --sandbox' checks it"),
        ("a.test.yaml", "'rolerunner test a.test.yaml' checks it"),
    ],
)
def test_a_file_of_another_kind(name: str, command: str) -> None:
    error = run(name).exception
    assert isinstance(error, UsageError)
    assert str(error) == f"{name}: is not a spec; {command}"
