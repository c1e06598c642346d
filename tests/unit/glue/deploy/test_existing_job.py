"""Glue jobs that exist: whose they are, and which changes are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.deploy.existing_job import (
    is_ours,
    reject_command_change,
    reject_other_environment,
)
from rolerunner.glue.deploy.settings import JobDefinition
from tests.unit.glue.deploy.samples import SPARK, make_definition


def run_environment(name: str) -> dict[str, Any]:
    """Returns a job that runs an environment of its spec."""
    suffix = f"#{name}" if name else ""
    return {"DefaultArguments": {"--job_spec": f"s3://ops/nightly.yaml{suffix}"}}


def want(environment: str) -> JobDefinition:
    wanted = make_definition()
    job = {**wanted.job, "NonOverridableArguments": {}, **run_environment(environment)}
    return replace(wanted, job=job)


@pytest.mark.parametrize(
    ("job", "ours"),
    [
        ({}, False),
        ({"DefaultArguments": {"--other": "x"}}, False),
        ({"DefaultArguments": {"--job_spec": "x"}}, True),
        ({"NonOverridableArguments": {"--job_spec": "x"}}, True),
    ],
)
def test_a_job_that_runs_a_spec_is_ours(job: dict[str, Any], ours: bool) -> None:
    assert is_ours(job) is ours


@pytest.mark.parametrize(("before", "after"), [("", ""), ("", "dev"), ("dev", "dev")])
def test_a_job_keeps_its_environment_or_gets_one(before: str, after: str) -> None:
    reject_other_environment(run_environment(before), want(after))


def test_another_environment_is_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError) as caught:
        reject_other_environment(run_environment("dev"), want("prod"))
    message = str(caught.value)
    assert "runs the environment 'dev': set another 'job_name' under 'glue' in 'prod'" in message
    assert message.endswith("or use --adopt to replace it")
    with pytest.raises(UsageError, match="deploy it with --env dev, or under another name"):
        reject_other_environment(run_environment("dev"), want(""))


def test_a_job_cannot_change_its_kind() -> None:
    shell, spark = make_definition(), make_definition(SPARK)
    reject_command_change(shell.job, shell)
    with pytest.raises(UsageError) as caught:
        reject_command_change(shell.job, spark)
    assert "is a Python Shell job and cannot become a Spark job" in str(caught.value)
    assert f"aws glue delete-job --job-name {spark.name}" in str(caught.value)
