"""The spec, the params and the time limits that the arguments of a job run set."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.launch.arguments import parse_arguments
from rolerunner.glue.launch.job_settings import (
    DEADLINE_SHARE,
    check_params,
    choose_time_limits,
    read_log_level,
    require_spec,
)
from rolerunner.model import Job


def refusal(function: Any, *arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    return str(caught.value)


def test_a_job_needs_a_spec() -> None:
    assert require_spec(parse_arguments(["--job_spec", "s3://ops/a.yaml"])) == "s3://ops/a.yaml"
    message = "no spec to run: set --job_spec s3://bucket/job.yaml"
    assert refusal(require_spec, parse_arguments([])) == message
    misspelt = parse_arguments(["--jobspec", "s3://ops/a.yaml"])
    assert refusal(require_spec, misspelt) == f"{message} (it is not --jobspec)"


def test_the_level_of_the_log() -> None:
    assert read_log_level(parse_arguments([])) == "info"
    assert read_log_level(parse_arguments(["--log_level", "debug"])) == "debug"
    assert refusal(read_log_level, parse_arguments(["--log_level", "loud"])) == (
        "--log_level must be one of debug, info, warning, error, not 'loud'"
    )


def test_a_secret_is_no_argument_of_a_job() -> None:
    job = Job("j", (), secret_params=frozenset({"key", "password"}))
    check_params(job, {"day": "x"})
    message = refusal(check_params, job, {"password": "px-71ab-01", "key": "kx-71ab-02"})
    assert message.startswith("the param 'key' is secret and may not be given as a job argument")
    assert "71ab" not in message


def test_a_fixed_param_keeps_its_value() -> None:
    fixed: Any = SimpleNamespace(fixed_params={"stage": "prod"})
    job = replace(Job("j", ()), glue=fixed)
    check_params(job, {"stage": "prod", "day": "x"})
    message = "the param 'stage' is fixed to 'prod' by 'fixed_params' under 'glue' in the spec,"
    assert refusal(check_params, job, {"stage": "dev"}) == f"{message} and the run has 'dev'"
    assert refusal(check_params, job, {}) == f"{message} and the run has no argument --stage"


def test_no_step_begins_after_the_earlier_of_both_deadlines() -> None:
    job = Job("j", (), deadline=60.0)
    assert choose_time_limits(job, "") == (60.0, None)
    last_start, end = choose_time_limits(job, "57s")
    assert last_start == 60 * DEADLINE_SHARE
    assert end == pytest.approx(58.5)  # of a timeout of 60 s
    assert choose_time_limits(replace(job, deadline=None), "57m")[0] == 3420.0
    assert choose_time_limits(job, "57m")[0] == 60.0
    assert refusal(choose_time_limits, job, "soon").startswith("--deadline: ")
