"""Tests which arguments the entry script takes, against the spec that it has loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.glue.launch.entry import JobFailed, main

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
version: 1
name: daily
params:
  run_date: {type: string, default: "none"}
  stage: {type: string, default: dev}
  note: {type: string, default: "-"}
  with-hyphen: {type: string, default: "-"}
glue:
  fixed_params: {stage: %s}
steps:
  - id: show
    action: python.call
    function: functions_of_daily:show
    arguments: {given: "${{ params.run_date }} ${{ params.stage }}"}
"""
FUNCTIONS = "def show(context, given):\n    return {'given': given}\n"
FIXED = ("--stage", "prod")


@pytest.fixture
def daily(tmp_path: Path) -> Path:
    (tmp_path / "daily.yaml").write_text(SPEC % "prod")
    (tmp_path / "functions_of_daily.py").write_text(FUNCTIONS)
    return tmp_path / "daily.yaml"


def run_entry(daily: Path, *arguments: str) -> str:
    """Returns what the step was given."""
    result = main(["run_spec.py", "--job_spec", str(daily), *arguments])
    return str(result.steps[0].outputs["given"])


def list_warnings(output: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [event for event in events if event.get("event") == "unknown_argument"]


def test_an_unknown_argument_with_a_hyphen_is_glues_and_a_warning(
    daily: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--new-of-glue", "on", "--with-hyphen", "x", "--custom-logGroup-prefix", "/p")
    assert run_entry(daily, *FIXED, *arguments, "library-set", "analytics") == "none prod"
    (warning,) = list_warnings(capsys.readouterr().out)
    assert (warning["level"], warning["argument"]) == ("warning", "--new-of-glue")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run-date", "x"), "there is no param 'run-date' (did you mean 'run_date'?)"),
        (("--with_hyphen", "x"), "there is no param 'with_hyphen' (did you mean 'with-hyphen'?)"),
        (("--run_dat", "x"), "there is no param 'run_dat' (did you mean 'run_date'?)"),
    ],
)
def test_another_spelling_of_a_param_is_refused(
    daily: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(JobFailed) as error:
        run_entry(daily, *FIXED, *arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--stage", "dev"),
        ("--stage=dev",),
        ("--stage",),
        (),
        (*FIXED, "--stage", "dev"),
        ("--stage", "dev", *FIXED),
        (*FIXED, "--stage=dev"),
        (*FIXED, "--Stage", "dev"),
        (*FIXED, "--stag", "dev"),
        (*FIXED, "--note", "--stage=dev"),
        (*FIXED, "--note", "--stage"),
        ("--note", "--stage", "dev"),
        (*FIXED, "--python-modules-installer-option", "--stage", "dev"),
    ],
)
def test_no_argument_replaces_a_fixed_param(daily: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(JobFailed, match=r"stage|stag|Stage"):
        run_entry(daily, *arguments)


@pytest.mark.parametrize(
    ("fixed", "arguments"),
    [
        ("''", ("--stage", "dev")),  # without its empty value, the next bare token is taken
        ("''", ("--python-modules-installer-option", "--stage", "--note", "x")),
        ("library-set", ("--stage", "library-set", "analytics")),
    ],
)
def test_a_fixed_value_that_glue_blurs_is_compared_with_the_spec(
    daily: Path, fixed: str, arguments: tuple[str, ...]
) -> None:
    daily.write_text(SPEC % fixed)
    with pytest.raises(JobFailed, match="the param 'stage' is fixed to"):
        run_entry(daily, *arguments)


def test_a_fixed_param_may_be_empty(daily: Path) -> None:
    daily.write_text(SPEC % "''")
    assert run_entry(daily, "--stage", "--run_date", "x") == "x "
