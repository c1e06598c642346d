"""The CloudFormation template of a job's roles."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rolerunner.iam.policy import Statement
from rolerunner.policies.cloudformation import render_cloudformation
from rolerunner.policies.least_privilege import RolePolicies

HUB = "arn:aws:iam::111122223333:role/team/hub"
READER = "arn:aws:iam::111122223333:role/reader"
OTHER = "arn:aws:iam::444455556666:role/other"
GET = Statement(("s3:GetObject",), ("*",), by=("find", "fetch"))


def role(arn: str, *statements: Statement, trusted: str = OTHER, **more: Any) -> RolePolicies:
    trust = {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
    return RolePolicies(("r",), arn, statements, (trust,), **more)


def render(*roles: tuple[str, RolePolicies], explain: bool = False) -> Any:
    return yaml.safe_load(render_cloudformation("nightly", roles, explain=explain))


def test_a_template_has_a_resource_for_each_role() -> None:
    template = render(("hub", role(HUB, GET)), ("the-other_role", role(OTHER)))
    assert template["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template["Description"].startswith("Roles of the job nightly, ")
    assert template["Conditions"] == {
        f"In{account}": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, account]}
        for account in ("111122223333", "444455556666")
    }
    assert list(template["Resources"]) == ["RoleHub", "RoleTheOtherRole"]


def test_a_role_has_its_name_path_trust_and_policy() -> None:
    hub = role(HUB, GET)
    resource = render(("hub", hub))["Resources"]["RoleHub"]
    assert resource == {
        "Type": "AWS::IAM::Role",
        "Condition": "In111122223333",
        "Properties": {
            "RoleName": "hub",
            "Path": "/team/",
            "MaxSessionDuration": 3600,
            "AssumeRolePolicyDocument": hub.trust_policy(),
            "Policies": [{"PolicyName": "rolerunner-nightly", "PolicyDocument": hub.policy()}],
        },
    }


def test_a_role_without_permissions_has_no_policy() -> None:
    properties = render(("reader", role(READER)))["Resources"]["RoleReader"]["Properties"]
    assert "Policies" not in properties
    assert properties["Path"] == "/"


@pytest.mark.parametrize(("duration", "expected"), [(900, 3600), (3600, 3600), (3601, 3601)])
def test_a_session_lasts_an_hour_at_least(duration: int, expected: int) -> None:
    """IAM accepts no MaxSessionDuration below an hour."""
    properties = render(("r", role(READER, duration=duration)))["Resources"]["RoleR"]["Properties"]
    assert properties["MaxSessionDuration"] == expected


def test_a_role_is_created_after_those_that_it_trusts() -> None:
    resources = render(("hub", role(HUB)), ("reader", role(READER, trusted=HUB)))["Resources"]
    assert resources["RoleReader"]["DependsOn"] == ["RoleHub"]
    assert "DependsOn" not in resources["RoleHub"]


def test_explanations_name_the_steps_of_each_statement() -> None:
    explained = render(("hub", role(HUB, GET)), explain=True)["Resources"]["RoleHub"]
    assert explained["Metadata"] == {"explain": [{"statement": 1, "for": ["find", "fetch"]}]}
