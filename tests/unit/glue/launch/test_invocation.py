"""Tests the arguments and variables that an entry script gets from Glue."""

from __future__ import annotations

from rolerunner.glue.launch.arguments import parse_arguments
from rolerunner.glue.launch.invocation import build_environment, list_arguments, merge_arguments
from rolerunner.glue.launch.runtime import RUNTIMES, detect_runtime


def test_a_run_overrides_the_jobs_defaults_and_nothing_that_is_fixed() -> None:
    merged = merge_arguments(
        {"--a": "default", "--b": "default", "--c": "default"},
        {"--b": "run", "--c": "run", "--d": "run"},
        {"--c": "fixed"},
    )
    assert merged == {"--a": "default", "--b": "run", "--c": "fixed", "--d": "run"}


def test_an_empty_value_loses_its_token() -> None:
    arguments = {"--job_spec": "s3://b/job.yaml", "--comment": "", "library-set": "analytics"}
    found = list_arguments(RUNTIMES["pythonshell"], "nightly", "s3://b/run_spec.py", arguments)
    assert found[-5:] == ["--job_spec", "s3://b/job.yaml", "--comment", "library-set", "analytics"]
    assert "--scriptLocation" in found
    assert "--JOB_NAME" not in found
    assert parse_arguments(found).ours == {"job_spec": "s3://b/job.yaml"}


def test_a_spark_job_knows_its_name_and_its_run() -> None:
    found = list_arguments(RUNTIMES["glue-5.1"], "nightly", "s3://b/run_spec.py", {"--n": "3"})
    assert found[:5:2] == ["--JOB_NAME", "--JOB_ID", "--JOB_RUN_ID"]
    parsed = parse_arguments(found)
    assert (parsed.params, parsed.glue["JOB_NAME"]) == ({"n": "3"}, "nightly")


def test_the_environment_tells_the_runtimes_apart() -> None:
    assert detect_runtime("x.py", "", build_environment(RUNTIMES["glue-5.1"], "/in")) == "glueetl"
    environment = build_environment(RUNTIMES["pythonshell"], "/in")
    assert environment == {"GLUE_INSTALLATION": "/in"}
    assert detect_runtime("x.py", "", environment) == "pythonshell"
