"""Tests what a sandbox gets so that a job can be deployed in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.errors import UsageError
from rolerunner.glue.deploy.sandbox_world import (
    add_bundle,
    add_deployment,
    complete_settings,
    name_deployer,
)
from rolerunner.model import GlueSettings, S3Uri
from rolerunner.sandbox.world import SandboxBucket, SandboxRole, World

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import Plan

ROLE = "arn:aws:iam::111122223333:role/glue-nightly"
SPEC = """
version: 1
name: nightly
steps: [{id: find, action: s3.list, role: job, source: "s3://landing/in/"}]
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return api.plan(api.load(path))


def make_world(*buckets: str) -> World:
    return World(
        version=1,
        job_role=ROLE,
        roles=[SandboxRole(arn=ROLE)],
        buckets=[SandboxBucket(name=name, account="444455556666") for name in buckets],
    )


def test_a_role_and_artifacts_that_the_spec_does_not_name_are_filled_in() -> None:
    completed = complete_settings(GlueSettings(), ROLE)
    assert completed.role == ROLE
    assert str(completed.artifacts) == "s3://rolerunner-artifacts-111122223333/"
    assert complete_settings(GlueSettings(role="etl"), ROLE).role.endswith("3333:role/etl")
    given = GlueSettings(
        role="arn:aws:iam::222233334444:role/etl", artifacts=S3Uri.parse("s3://ops/code/")
    )
    assert complete_settings(given, ROLE) == given
    assert name_deployer(given) == "arn:aws:iam::222233334444:role/rolerunner-deployer"


def test_missing_buckets_come_with_the_permissions_of_the_jobs_role(plan: Plan) -> None:
    settings = replace(complete_settings(GlueSettings(), ROLE), result="s3://results/nightly/")
    added = add_deployment(make_world("landing"), plan, settings, "nightly.sandbox.yaml")
    assert {bucket.name: bucket.account for bucket in added.world.buckets} == {
        "landing": "444455556666",
        "rolerunner-artifacts-111122223333": "111122223333",
        "results": "111122223333",
    }
    job, deployer = added.world.roles
    granted = str(job.permissions)
    assert "arn:aws:s3:::rolerunner-artifacts-111122223333/" in granted
    assert "arn:aws:s3:::results/nightly/*" in granted
    assert "logs:PutLogEvents" in granted
    assert "landing" not in granted  # what steps need is the file's own business
    assert deployer.arn == name_deployer(settings)
    of_glue = [each for each in deployer.permissions if "glue:UpdateJob" in str(each)]
    assert [each["Resource"] for each in of_glue] == ["*"]


def test_a_file_with_the_buckets_is_taken_as_it_is(plan: Plan) -> None:
    settings = complete_settings(GlueSettings(artifacts=S3Uri.parse("s3://ops/code/")), ROLE)
    added = add_deployment(make_world("ops"), plan, settings, "nightly.sandbox.yaml")
    assert [bucket.name for bucket in added.world.buckets] == ["ops"]
    assert added.world.roles[0].permissions == []


def test_the_jobs_role_must_be_in_the_file(plan: Plan) -> None:
    settings = complete_settings(GlueSettings(role="etl"), ROLE)
    with pytest.raises(UsageError) as caught:
        add_deployment(make_world(), plan, settings, "nightly.sandbox.yaml")
    message = str(caught.value)
    assert message.startswith(
        "nightly.sandbox.yaml: there is no role arn:aws:iam::111122223333:role/etl, "
        "which 'role' under 'glue' in the spec names"
    )
    assert "add it to 'roles' in this file" in message
    assert ROLE in message


@pytest.mark.parametrize("result", ["", "s3://results/nightly/"])
def test_the_jobs_role_may_read_the_bundle_and_write_the_result(
    result: str, tmp_path: Path
) -> None:
    place = "s3://ops/code/0123/"
    before = make_world("ops")
    settings = GlueSettings(result=result)
    world = add_bundle(before, {f"{place}a.txt": tmp_path / "a.txt"}, settings, place)
    assert [(each.name, each.account) for each in world.buckets] == [
        ("ops", "444455556666"),
        *([("results", "111122223333")] if result else []),
    ]
    assert world.buckets[0].objects[0].key == "code/0123/a.txt"
    assert [(each["Action"], each["Resource"]) for each in world.roles[0].permissions] == [
        ("s3:GetObject", "arn:aws:s3:::ops/code/0123/*"),
        *([("s3:PutObject", "arn:aws:s3:::results/nightly/*")] if result else []),
    ]
    assert before.buckets[0].objects == []


def test_a_region_is_filled_in_and_not_replaced() -> None:
    assert complete_settings(GlueSettings(), ROLE, "eu-west-1").region == "eu-west-1"
    assert complete_settings(GlueSettings(region="us-east-2"), ROLE, "x").region == "us-east-2"
