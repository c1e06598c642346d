"""The ``glue`` section at the limits of AWS Glue."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec.glue_fields import GlueFields

LAKE = "--enable-lakeformation-fine-grained-access"


def read(**fields: Any) -> GlueFields:
    return GlueFields.model_validate(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"job_name": "n" * 255},
        {"role": "glue-nightly"},
        {"role": "r" * 64},
        {"role": "arn:aws:iam::111122223333:role/r"},
        {"region": "us-gov-west-1"},
        {"capacity": 0.0625},
        {"capacity": 1.0},
        {"runtime": "glue-5.1", "worker_type": "G.1X", "workers": 2},
        {"runtime": "glue-5.1", "workers": 5000},
        {"timeout": "1m"},
        {"timeout": "7d"},
        {"max_concurrent_runs": 1},
        {"max_concurrent_runs": 1000},
        {"tags": {f"k{number}": "v" for number in range(50)}},
        {"arguments": {"--enable-metrics": "true"}},
        {"arguments": {"library-set": "analytics"}},
        {"arguments": {"--conf": "x"}},
        {"arguments": {"--some-new-thing": "x"}},
        {"runtime": "glue-5.0", "workers": 4, "arguments": {LAKE: "true"}},
        {"arguments": {LAKE: "false"}},
    ],
)
def test_values_at_their_limits(fields: dict[str, Any]) -> None:
    read(**fields)


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"runtime": "glue-3.0"}, "Input should be 'pythonshell', 'glue-4.0', 'glue-5.0'"),
        ({"job_name": "n" * 256}, "must be a name without '/' of up to 255 characters, not 'nn"),
        ({"job_name": "a/b"}, "must be a name without '/' of up to 255 characters, not 'a/b'"),
        ({"job_name": ""}, "must be a name without '/' of up to 255 characters, not ''"),
        ({"role": "r" * 65}, "must be a role's ARN or name, not 'rr"),
        ({"role": "a b"}, "must be a role's ARN or name, not 'a b'"),
        ({"role": "arn:aws:iam::1:role/x"}, "'arn:aws:iam::1:role/x' is not a role ARN"),
        ({"region": "europe"}, "must be a region such as eu-west-1, not 'europe'"),
        ({"capacity": 2.0}, "'capacity' must be 0.0625 or 1"),
        (
            {"runtime": "glue-5.1", "capacity": 1.0},
            "'capacity' does not apply to the 'runtime' glue-5.1, which takes 'worker_type' and",
        ),
        (
            {"workers": 2},
            "'workers' does not apply to the 'runtime' pythonshell, which takes 'capacity'",
        ),
        (
            {"worker_type": "G.1X"},
            "'worker_type' does not apply to the 'runtime' pythonshell, which takes 'capacity'",
        ),
        ({"runtime": "glue-5.1", "worker_type": "big"}, "must be a worker type such as G.1X"),
        ({"runtime": "glue-5.1", "workers": 1}, "Input should be greater than or equal to 2"),
        ({"runtime": "glue-5.1", "workers": 5001}, "Input should be less than or equal to 5000"),
        ({"timeout": "59s"}, "must be a whole number of minutes, 1m to 7d"),
        ({"timeout": "90s"}, "must be a whole number of minutes, 1m to 7d"),
        ({"timeout": "10081m"}, "must be a whole number of minutes, 1m to 7d"),
        ({"max_concurrent_runs": 0}, "Input should be greater than or equal to 1"),
        ({"max_concurrent_runs": 1001}, "Input should be less than or equal to 1000"),
        (
            {"tags": {f"k{number}": "v" for number in range(51)}},
            "must have at most 50 tags, not 51",
        ),
        (
            {"params": {"a": 1}, "fixed_params": {"a": 2}},
            "'a' is in both 'params' and 'fixed_params'",
        ),
        (
            {"arguments": {"enable-metrics": "x"}},
            "must be arguments of Glue such as --enable-metrics, not 'enable-metrics'",
        ),
        (
            {"arguments": {"--country": "nz"}},
            "must be arguments of Glue, which '--country' is not: set params of the spec under",
        ),
        (
            {"arguments": {"--job-spec": "x"}},
            "must be arguments of Glue, which '--job-spec' is not",
        ),
        (
            {"arguments": {"library-set": "a", "--library-set": "b"}},
            "has 'library-set' in two spellings: write library-set",
        ),
        (
            {"runtime": "glue-4.0", "workers": 4, "arguments": {LAKE: "true"}},
            f"'{LAKE}' does not apply to the 'runtime' glue-4.0: it needs glue-5.0 or newer",
        ),
        (
            {"runtime": "glue-5.0", "workers": 3, "arguments": {LAKE: " True "}},
            f"'{LAKE}' needs at least 4 'workers': set 'workers: 4' or more",
        ),
        ({"runtimes": "x"}, "Extra inputs are not permitted"),
        ({"schedule": "rate(1 day)"}, "must be an expression such as cron(0 3 * * ? *): triggers"),
        (
            {"schedule": "cron(0 3 * * ? *)", "after": {"jobs": ["a"]}},
            "'after' and 'schedule' exclude each other",
        ),
        ({"after": {"jobs": []}}, "List should have at least 1 item"),
        ({"after": {"jobs": ["a/b"]}}, "must be names of Glue jobs, not 'a/b'"),
        ({"after": {"jobs": ["a"], "on": "done"}}, "Input should be 'succeeded', 'failed'"),
        (
            {"after": {"jobs": ["a"]}, "job_name": "x" * 241},
            "'job_name' must have at most 240 characters",
        ),
        (
            {"execution_class": "FLEX"},
            "'execution_class' does not apply to the 'runtime' pythonshell, which is no Spark",
        ),
        (
            {"maintenance_window": "Sun:2"},
            "'maintenance_window' does not apply to the 'runtime' pythonshell, which is no Spark",
        ),
        (
            {"runtime": "glue-5.1", "execution_class": "FLEX", "worker_type": "G.4X"},
            "'execution_class' FLEX takes the 'worker_type' G.1X or G.2X, not G.4X",
        ),
        ({"runtime": "glue-5.1", "execution_class": "flex"}, "Input should be 'STANDARD' or"),
        (
            {"runtime": "glue-5.1", "maintenance_window": "Sunday:2"},
            "must be a day and an hour in UTC such as Sun:2, not 'Sunday:2'",
        ),
        (
            {"runtime": "glue-5.1", "maintenance_window": "Sun:24"},
            "must be a day and an hour in UTC such as Sun:2, not 'Sun:24'",
        ),
        ({"notify_delay_after": "30s"}, "must be a whole number of minutes"),
        (
            {"notify_delay_after": "2h"},
            "'notify_delay_after' must be less than 'timeout', after which a run is killed",
        ),
    ],
)
def test_values_beyond_their_limits(fields: dict[str, Any], start: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    (error,) = caught.value.errors()
    assert error["msg"].removeprefix("Value error, ").startswith(start)


def test_the_settings_of_a_python_shell_job() -> None:
    made = read(
        artifacts="s3://ops/x",
        params={"a": True, "b": [1]},
        arguments={"--library-set": "analytics"},
    ).settings()
    assert (made.runtime, made.capacity, made.worker_type, made.workers) == (
        "pythonshell",
        0.0625,
        "",
        0,
    )
    assert (made.timeout, made.max_concurrent_runs) == (120, 1)
    assert str(made.artifacts) == "s3://ops/x/"
    assert made.params == {"a": "true", "b": "[1]"}
    assert made.arguments == {"library-set": "analytics"}
    assert (made.job_name, made.role, made.region, made.result) == ("", "", "", "")


def test_the_settings_of_a_spark_job() -> None:
    made = read(runtime="glue-5.1", timeout="1m").settings()
    assert (made.capacity, made.worker_type, made.workers, made.timeout) == (None, "G.1X", 2, 1)
    assert made.artifacts is None
