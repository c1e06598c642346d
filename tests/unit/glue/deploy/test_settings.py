"""Tests how the settings of a Glue job are resolved."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import pytest

from rolerunner.cli.deploy import deploy as deploy_command
from rolerunner.errors import UsageError
from rolerunner.glue.deploy.settings import resolve_settings
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.model import GlueAfter, Job, S3Uri
from rolerunner.spec.glue_fields import GlueFields
from tests.unit.glue.deploy.samples import JOB_SPEC, SETTINGS, SPARK, make_definition


def test_the_table_of_runtimes_and_the_sections_choices_are_the_same() -> None:
    assert get_args(GlueFields.model_fields["runtime"].annotation) == tuple(RUNTIMES)
    choices = next(option for option in deploy_command.params if option.name == "runtime").type
    assert tuple(choices.choices) == tuple(RUNTIMES)  # type: ignore[attr-defined]


def test_flags_win_over_the_section_and_are_checked_like_it() -> None:
    assert resolve_settings(JOB_SPEC, {"timeout": "90m", "tags": {"a": "b"}}) == replace(
        SETTINGS, timeout=90, tags={"a": "b"}
    )
    assert resolve_settings(JOB_SPEC, {}) == SETTINGS
    assert resolve_settings(JOB_SPEC, {"runtime": "glue-5.1"}).workers == 2
    assert resolve_settings(Job("j", ()), {"artifacts": "s3://ops/p"}).artifacts == S3Uri(
        "ops", "p/"
    )
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"timeout": "90s"}, "'timeout' must be a whole number of minutes"),
        (
            {"workers": 3},
            "'workers' does not apply to the 'runtime' pythonshell, which takes 'capacity'",
        ),
        ({"capacity": 0.5}, "'capacity' must be 0.0625 or 1"),
        ({"artifacts": "ops"}, "'artifacts' must be s3://bucket/key"),
        ({"role": "a b"}, "'role' must be a role's ARN or name"),
    ]
    for flags, said in wrong:
        with pytest.raises(UsageError, match=re.escape(said)):
            resolve_settings(JOB_SPEC, flags)


NIGHTLY = replace(
    SPARK,
    worker_type="G.1X",
    after=GlueAfter(("extract", "load"), "failed"),
    execution_class="FLEX",
    queue_runs=True,
    maintenance_window="Sun:2",
    notify_delay_after=45,
)


def test_settings_of_runs_become_fields_of_the_job() -> None:
    assert resolve_settings(replace(JOB_SPEC, glue=NIGHTLY), {}) == NIGHTLY
    job = make_definition(NIGHTLY).job
    assert job["ExecutionClass"] == "FLEX"
    assert job["JobRunQueuingEnabled"] is True
    assert job["MaintenanceWindow"] == "Sun:2"
    assert job["NotificationProperty"] == {"NotifyDelayAfter": 45}
    plain = make_definition(SPARK).job
    assert set(job) - set(plain) == {
        "ExecutionClass",
        "JobRunQueuingEnabled",
        "MaintenanceWindow",
        "NotificationProperty",
    }


def test_another_runtime_leaves_out_what_it_does_not_have() -> None:
    shell = resolve_settings(replace(JOB_SPEC, glue=NIGHTLY), {"runtime": "pythonshell"})
    assert (shell.execution_class, shell.maintenance_window) == ("", "")
    assert (shell.queue_runs, shell.notify_delay_after) == (True, 45)
    assert shell.after == NIGHTLY.after


@pytest.mark.parametrize("name", ["library-set", "--library-set"])
def test_the_specs_library_set_replaces_that_of_the_bundle(name: str) -> None:
    settings = GlueFields(arguments={name: "none"}).settings()
    assert settings.arguments == {"library-set": "none"}
    assert resolve_settings(replace(JOB_SPEC, glue=settings), {}).arguments == settings.arguments
    arguments = make_definition(replace(SETTINGS, arguments=settings.arguments)).job[
        "DefaultArguments"
    ]
    assert [each for each in arguments.items() if "library-set" in each[0]] == [
        ("library-set", "none")
    ]


def test_what_must_be_said_to_deploy() -> None:
    with pytest.raises(UsageError, match="--job-role"):
        make_definition(replace(SETTINGS, role=""))
