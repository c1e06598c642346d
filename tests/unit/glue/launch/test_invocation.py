"""Tests the command line and environment that an entry script gets from Glue."""

from __future__ import annotations

from rolerunner.glue.launch.arguments import parse_arguments
from rolerunner.glue.launch.invocation import Invocation, build_environment, merge_arguments
from rolerunner.glue.launch.runtime import RUNTIMES, detect_runtime

ARGUMENTS = {"--job_spec": "s3://b/job.yaml", "--comment": "", "--country": "nz"}


def test_a_run_overrides_the_jobs_defaults_and_nothing_that_is_fixed() -> None:
    merged = merge_arguments(
        {"--a": "default", "--b": "default", "--c": "default"},
        {"--b": "run", "--c": "run", "--d": "run"},
        {"--c": "fixed"},
    )
    assert merged == {"--a": "default", "--b": "run", "--c": "fixed", "--d": "run"}


def test_spark_scripts_get_the_ids_of_job_and_run_first() -> None:
    invocation = Invocation("nightly", "jr_1f", "s3://b/run_spec.py", ARGUMENTS)
    argv = invocation.argv("/tmp/run_spec.py", RUNTIMES["glue-5.1"])
    assert argv[:7] == [
        "/tmp/run_spec.py",
        "--JOB_NAME",
        "nightly",
        "--JOB_ID",
        "j_1f",
        "--JOB_RUN_ID",
        "jr_1f",
    ]
    assert parse_arguments(argv[1:]).ours == {"job_spec": "s3://b/job.yaml"}
    assert parse_arguments(argv[1:]).params == {"comment": "", "country": "nz"}


def test_python_shell_scripts_get_no_ids_and_lose_empty_values() -> None:
    invocation = Invocation("nightly", "jr_1f", "s3://b/run_spec.py", ARGUMENTS)
    assert invocation.argv("run_spec.py", RUNTIMES["pythonshell"])[1:] == [
        "--scriptLocation",
        "s3://b/run_spec.py",
        "--job-language",
        "python",
        "--job_spec",
        "s3://b/job.yaml",
        "--comment",
        "--country",
        "nz",
    ]


def test_the_environment_tells_the_runtimes_apart() -> None:
    assert detect_runtime("x.py", "", build_environment(RUNTIMES["glue-5.1"], "/in")) == "glueetl"
    environment = build_environment(RUNTIMES["pythonshell"], "/in")
    assert environment["GLUE_INSTALLATION"] == "/in"
    assert detect_runtime("x.py", "", environment) == "pythonshell"
