"""Tests the Glue job as CloudFormation and Terraform."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rolerunner.glue.deploy.emit import render_cloudformation, render_terraform
from rolerunner.model import GlueAfter, GlueSettings
from tests.unit.glue.deploy.samples import PLACE, SETTINGS, SPARK, make_definition


@pytest.mark.once
@pytest.mark.parametrize("settings", [SETTINGS, SPARK], ids=["pythonshell", "spark"])
def test_cloudformation_is_what_its_linter_takes(settings: GlueSettings) -> None:
    from cfnlint.api import ManualArgs, lint

    text = render_cloudformation(make_definition(settings))
    assert [str(match) for match in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []
    properties = json.loads(text)["Resources"]["Nightly"]["Properties"]
    assert properties == {
        "Name": "nightly",
        **make_definition(settings).job,
        "Tags": {"team": "orders"},
    }


@pytest.mark.once
@pytest.mark.parametrize("role", ["arn:aws:iam::111122223333:role/glue", "glue"])
@pytest.mark.parametrize("settings", [SETTINGS, SPARK], ids=["pythonshell", "spark"])
def test_terraform_says_the_same(settings: GlueSettings, role: str) -> None:
    import hcl2

    goal = make_definition(replace(settings, role=role))
    read = hcl2.loads(render_terraform(goal))
    job = plain(read["resource"][0])["aws_glue_job"]["nightly"]
    assert job["role_arn"] == (role if role.startswith("arn:") else "${data.aws_iam_role.job.arn}")
    assert job["command"][0]["script_location"] == f"{PLACE}run_spec.py"
    assert job["glue_version"] == goal.job["GlueVersion"]
    assert job["max_retries"] == 0
    assert job["default_arguments"] == goal.job["DefaultArguments"]
    assert job["tags"] == {"team": "orders"}
    assert ("worker_type" in job, "max_capacity" in job) == (
        settings is SPARK,
        settings is SETTINGS,
    )
    assert '"--quoted"   = "a \\"b\\" $${c} %%{d}\\n"' in render_terraform(goal)


STARTED = {
    "schedule": replace(SETTINGS, schedule="cron(0 3 * * ? *)"),
    "after": replace(
        SPARK,
        after=GlueAfter(("extract", "lo${ad}")),
        execution_class="FLEX",
        queue_runs=True,
        maintenance_window="Sun:2",
        notify_delay_after=45,
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("start", STARTED)
def test_cloudformation_has_the_trigger(start: str) -> None:
    from cfnlint.api import ManualArgs, lint

    goal = make_definition(STARTED[start])
    text = render_cloudformation(goal)
    assert [str(match) for match in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []
    trigger = json.loads(text)["Resources"]["NightlyTrigger"]
    assert trigger["Type"] == "AWS::Glue::Trigger"
    assert trigger["Properties"] == {
        **goal.trigger,
        "Actions": [{"JobName": {"Ref": "Nightly"}}],
        "StartOnCreation": True,
    }


@pytest.mark.once
@pytest.mark.parametrize("start", STARTED)
def test_terraform_has_the_trigger(start: str) -> None:
    import hcl2

    goal = make_definition(STARTED[start])
    job, trigger = map(plain, hcl2.loads(render_terraform(goal))["resource"])
    (trigger,) = trigger["aws_glue_trigger"].values()
    assert (trigger["name"], trigger["type"]) == (goal.trigger["Name"], goal.trigger["Type"])
    assert trigger["actions"] == [{"job_name": "${aws_glue_job.nightly.name}"}]
    if start == "schedule":
        assert trigger["schedule"] == "cron(0 3 * * ? *)"
        return
    (predicate,) = trigger["predicate"]
    assert predicate["logical"] == "AND"
    assert predicate["conditions"] == [
        {"job_name": "extract", "state": "SUCCEEDED"},
        {"job_name": "lo$${ad}", "state": "SUCCEEDED"},
    ]
    (job,) = job["aws_glue_job"].values()
    assert (job["execution_class"], job["job_run_queuing_enabled"]) == ("FLEX", True)
    assert job["maintenance_window"] == "Sun:2"
    assert job["notification_property"] == [{"notify_delay_after": 45}]


def plain(value: Any) -> Any:
    """Without the quotes that python-hcl2 leaves around strings, and without its own marks."""
    if isinstance(value, dict):
        return {
            plain(key): plain(each) for key, each in value.items() if not str(key).startswith("__")
        }
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value[1:-1] if isinstance(value, str) and value.startswith('"') else value
