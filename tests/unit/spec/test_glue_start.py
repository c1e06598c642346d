"""Starts of a Glue job: schedules, other jobs, and the params of such runs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rolerunner.spec.glue_start import (
    AfterFields,
    Schedule,
    check_after,
    check_unattended_params,
)
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.schema import ParamFields
from rolerunner.spec.yaml_parser import parse_document

TEXT = """\
name: nightly
glue:
  after: {jobs: [extract, nightly]}
"""
HINT = "give it a default"


def make_reader() -> SpecReader:
    return SpecReader(parse_document(TEXT, "t.yaml"), LoadContext())


def problems(reader: SpecReader) -> list[tuple[str, str]]:
    return [(str(each.mark), f"{each.message}|{each.hint}") for each in reader.known.problems]


def test_a_schedule_is_a_cron_expression() -> None:
    schedule: TypeAdapter[Any] = TypeAdapter(Schedule)
    assert schedule.validate_python("cron(0 6 * * ? *)") == "cron(0 6 * * ? *)"
    for wrong in ("daily", "cron(0 6 * * * *)", 5):
        with pytest.raises(ValidationError):
            schedule.validate_python(wrong)


def test_each_job_counts_once() -> None:
    settings = AfterFields(jobs=["a", "b", "a"]).settings()
    assert (settings.jobs, settings.on) == (("a", "b"), "succeeded")


@pytest.mark.parametrize("name", ["", "a/b", "a\n", "x" * 256])
def test_a_name_that_no_job_has(name: str) -> None:
    with pytest.raises(ValidationError, match="must be names of Glue jobs"):
        AfterFields(jobs=[name])


def test_the_number_of_jobs_is_limited() -> None:
    for count in (0, 51):
        with pytest.raises(ValidationError):
            AfterFields(jobs=["x"] * count)
    assert len(AfterFields(jobs=["x"] * 50).jobs) == 50


@pytest.mark.parametrize(("job_name", "is_own"), [(None, True), ("nightly", True), ("x", False)])
def test_a_job_does_not_wait_for_itself(job_name: str | None, is_own: bool) -> None:
    reader = make_reader()
    check_after(AfterFields(jobs=["extract", "nightly"]), job_name, reader)
    expected = [("t.yaml:3:27", "'after' names the job itself, 'nightly'|")] if is_own else []
    assert problems(reader) == expected


def test_a_run_that_glue_starts_has_no_params_but_those_of_the_job() -> None:
    declared = {
        "day": ParamFields(required=True),
        "country": ParamFields(required=True),
        "key": ParamFields(required=True, secret=True),
        "note": ParamFields(),
    }
    reader = make_reader()
    check_unattended_params("after", {"country": "nz"}, declared, reader)
    start = "runs that 'after' starts have no value of the param"
    assert problems(reader) == [
        (
            "t.yaml:3:10",
            f"{start} 'day', which is required|{HINT}, or a value under 'params' of 'glue'",
        ),
        ("t.yaml:3:10", f"{start} 'key', which is required|{HINT}"),
    ]
