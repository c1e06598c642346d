"""The Step Functions state that runs a deployed job."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rolerunner.glue.deploy.emit_states import render_state
from rolerunner.model import GlueSettings, Job
from rolerunner.spec.yaml_parser import parse_document

JOB = Job("nightly", (), file="nightly.yaml")


def render(settings: GlueSettings, job: Job = JOB, *texts: str) -> dict[str, Any]:
    documents = [parse_document(text, "f.yaml") for text in texts]
    machine: dict[str, Any] = json.loads(render_state(job, settings, documents))
    return machine


def test_a_run_that_fails_ends_the_machine_with_its_reason() -> None:
    machine = render(GlueSettings())
    assert machine["StartAt"] == "nightly"
    state = machine["States"]["nightly"]
    assert state["Parameters"] == {"JobName": "nightly"}
    assert state["Resource"] == "arn:aws:states:::glue:startJobRun.sync"
    assert [each["Next"] for each in state["Catch"]] == ["nightly failed"]
    assert machine["States"]["nightly failed"]["CausePath"] == "$.error.Cause"


@pytest.mark.parametrize(
    ("environment", "comment"),
    [
        ("", "Runs nightly.yaml, as deployed to the Glue job orders"),
        ("prod", "Runs nightly.yaml, environment prod, as deployed to the Glue job orders"),
    ],
)
def test_the_comment_names_spec_and_job(environment: str, comment: str) -> None:
    job = replace(JOB, environment=environment)
    assert render(GlueSettings(job_name="orders"), job)["Comment"] == comment


def test_a_long_name_is_shortened_for_the_states_alone() -> None:
    name = "n" * 100
    machine = render(GlueSettings(job_name=name))
    assert max(map(len, machine["States"])) == 80
    assert machine["States"][machine["StartAt"]]["Parameters"]["JobName"] == name


def test_required_params_that_the_job_does_not_set_come_from_the_input() -> None:
    text = """\
params:
  day: {type: date, required: true}
  country: {required: true}
  stage: {required: true}
  key: {required: true, secret: true}
  note: {default: x}
  plain:
"""
    settings = GlueSettings(params={"country": "nz"}, fixed_params={"stage": "prod"})
    job = replace(JOB, secret_params=frozenset({"key"}))
    machine = render(settings, job, text, "params: {more: {required: true}}\n", "steps: []\n")
    assert machine["States"]["nightly"]["Parameters"]["Arguments"] == {
        "--day.$": "States.Format('{}', $.day)",
        "--more.$": "States.Format('{}', $.more)",
    }
