"""Rules of EventBridge as CloudFormation and as Terraform."""

from __future__ import annotations

from typing import Any

from rolerunner.glue.deploy.emit_rules import render_cloudformation_rules, render_terraform_rules
from rolerunner.glue.deploy.rules import Rule

TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
BUS = "arn:aws:events:eu-west-1:*:event-bus/jobs"
TRANSFORMER = {"InputPathsMap": {"job": "$.detail.jobName", "s": "$.x"}, "InputTemplate": '"<job>"'}


def make_rule(arn: str, **target: Any) -> Rule:
    pattern = {"source": ["aws.glue"], "detail": {"jobName": ["nightly"]}}
    return Rule("rolerunner-nightly-0f", 'tells "ops"', pattern, {"Id": "it", "Arn": arn, **target})


def render(*rules: Rule) -> list[str]:
    return [line for line in render_terraform_rules(rules) if line]


def test_no_rules_are_no_code() -> None:
    assert (render_cloudformation_rules([]), render()) == ({}, [])


def test_a_topic_needs_no_role() -> None:
    resources = render_cloudformation_rules([make_rule(TOPIC)])
    ((name, rule),) = resources.items()
    assert name == "RolerunnerNightly0f"
    assert rule["Properties"]["Targets"] == [{"Id": "it", "Arn": TOPIC}]
    lines = render(make_rule(TOPIC))
    assert f'  arn       = "{TOPIC}"' in lines
    assert '  description   = "tells \\"ops\\""' in lines
    assert not [line for line in lines if "aws_iam_role" in line or "role_arn" in line]


def test_a_bus_gets_a_role_in_the_account_of_the_template() -> None:
    resources = render_cloudformation_rules([make_rule(BUS)])
    assert list(resources) == ["RolerunnerNightly0fRole", "RolerunnerNightly0f"]
    arn = {"Fn::Sub": "arn:aws:events:eu-west-1:${AWS::AccountId}:event-bus/jobs"}
    role = resources["RolerunnerNightly0fRole"]["Properties"]
    (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("events:PutEvents", arn)
    (target,) = resources["RolerunnerNightly0f"]["Properties"]["Targets"]
    assert target["RoleArn"] == {"Fn::GetAtt": ["RolerunnerNightly0fRole", "Arn"]}
    assert target["Arn"] == arn


def test_terraform_asks_for_the_account_once() -> None:
    lines = render(make_rule(BUS), make_rule(BUS))
    assert lines.count('data "aws_caller_identity" "rules" {}') == 1
    account = "${data.aws_caller_identity.rules.account_id}"
    assert f'  arn       = "arn:aws:events:eu-west-1:{account}:event-bus/jobs"' in lines
    assert "  role_arn  = aws_iam_role.rolerunner-nightly-0f.arn" in lines
    assert 'resource "aws_iam_role_policy" "rolerunner-nightly-0f" {' in lines


def test_a_role_that_is_given_is_used() -> None:
    rule = make_rule(BUS, RoleArn="arn:aws:iam::111122223333:role/rules")
    assert list(render_cloudformation_rules([rule])) == ["RolerunnerNightly0f"]
    lines = render(rule)
    assert '  role_arn  = "arn:aws:iam::111122223333:role/rules"' in lines
    assert not [line for line in lines if "aws_iam_role" in line]


def test_texts_and_groups_of_messages() -> None:
    rule = make_rule(
        TOPIC, InputTransformer=TRANSFORMER, SqsParameters={"MessageGroupId": "nightly"}
    )
    lines = render(rule)
    start = lines.index("  input_transformer {")
    assert lines[start : start + 8] == [
        "  input_transformer {",
        "    input_paths = {",
        '      job = "$.detail.jobName"',
        '      s   = "$.x"',
        "    }",
        '    input_template = "\\"<job>\\""',
        "  }",
        "  sqs_target {",
    ]
    assert '    message_group_id = "nightly"' in lines
