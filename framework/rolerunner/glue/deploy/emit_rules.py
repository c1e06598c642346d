"""Renders the rules of a Glue job as code, with the role that EventBridge needs for a bus.

The policy of a topic or queue is not rendered: a template would replace the whole of it, and what
others have granted there. ``deploy`` prints the statement for its owner.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rolerunner.glue.deploy.rules import describe_pattern
from rolerunner.iam.policy import build_policy
from rolerunner.policies.terraform import escape_hcl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolerunner.glue.deploy.rules import Rule

_TRUST = build_policy(
    [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]
)
_ANY_ACCOUNT = ":*:event-bus/"


def render_cloudformation_rules(rules: Iterable[Rule]) -> dict[str, Any]:
    """Returns the resources of a template: each rule, after the role that it needs."""
    resources: dict[str, Any] = {}
    for rule in rules:
        name = _logical_name(rule.name)
        target = {**rule.target, "Arn": _substitute_account(rule.target["Arn"])}
        if rule.lacks_role:
            resources[f"{name}Role"] = _build_role(target["Arn"])
            target["RoleArn"] = {"Fn::GetAtt": [f"{name}Role", "Arn"]}
        resources[name] = {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": rule.name,
                "Description": rule.description,
                "EventPattern": rule.pattern,
                "State": "ENABLED",
                "Targets": [target],
            },
        }
    return resources


def _substitute_account(arn: str) -> Any:
    """Returns an ARN with the account that the template is deployed to, if it has none."""
    if _ANY_ACCOUNT not in arn:
        return arn
    return {"Fn::Sub": arn.replace(_ANY_ACCOUNT, ":${AWS::AccountId}:event-bus/")}


def _build_role(bus: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}
    policy = {"PolicyName": "put-events", "PolicyDocument": build_policy([statement])}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": _TRUST, "Policies": [policy]},
    }


def _logical_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", name))


def render_terraform_rules(rules: Iterable[Rule]) -> Iterator[str]:
    """Yields the lines of a configuration with each rule, its target and the role it needs."""
    found = list(rules)
    if any(_ANY_ACCOUNT in rule.target["Arn"] for rule in found):
        yield from ("", 'data "aws_caller_identity" "rules" {}')
    for rule in found:
        yield from _render_rule(rule)
        yield from _render_target(rule)
        if rule.lacks_role:
            yield from _render_role(rule)


def _render_rule(rule: Rule) -> Iterator[str]:
    yield ""
    yield f'resource "aws_cloudwatch_event_rule" "{_identifier(rule)}" {{'
    yield f"  name          = {_hcl(rule.name)}"
    yield f"  description   = {_hcl(rule.description)}"
    yield f"  event_pattern = {_hcl(describe_pattern(rule.pattern))}"
    yield "}"


def _render_target(rule: Rule) -> Iterator[str]:
    role = (
        f"aws_iam_role.{_identifier(rule)}.arn"
        if rule.lacks_role
        else _hcl(rule.target["RoleArn"])
        if "RoleArn" in rule.target
        else ""
    )
    width = len("target_id")
    yield ""
    yield f'resource "aws_cloudwatch_event_target" "{_identifier(rule)}" {{'
    yield f"  {'rule'.ljust(width)} = aws_cloudwatch_event_rule.{_identifier(rule)}.name"
    yield f"  {'target_id'.ljust(width)} = {_hcl(rule.target['Id'])}"
    yield f"  {'arn'.ljust(width)} = {_render_arn(rule.target['Arn'])}"
    if role:
        yield f"  {'role_arn'.ljust(width)} = {role}"
    transformer = rule.target.get("InputTransformer")
    if transformer:
        yield from _render_transformer(transformer)
    queue = rule.target.get("SqsParameters")
    if queue:
        yield from ("", "  sqs_target {")
        yield f"    message_group_id = {_hcl(queue['MessageGroupId'])}"
        yield "  }"
    yield "}"


def _render_transformer(transformer: Mapping[str, Any]) -> Iterator[str]:
    paths = transformer["InputPathsMap"]
    width = max(map(len, paths))
    yield from ("", "  input_transformer {", "    input_paths = {")
    yield from (f"      {name.ljust(width)} = {_hcl(path)}" for name, path in paths.items())
    yield "    }"
    yield f"    input_template = {_hcl(transformer['InputTemplate'])}"
    yield "  }"


def _render_role(rule: Rule) -> Iterator[str]:
    name = _identifier(rule)
    bus = _render_arn(rule.target["Arn"])
    yield ""
    yield f'resource "aws_iam_role" "{name}" {{'
    yield f"  assume_role_policy = {_hcl(json.dumps(_TRUST))}"
    yield "}"
    yield ""
    yield f'resource "aws_iam_role_policy" "{name}" {{'
    yield f"  role   = aws_iam_role.{name}.id"
    yield "  policy = jsonencode({"
    yield '    Version   = "2012-10-17"'
    yield f'    Statement = [{{ Effect = "Allow", Action = "events:PutEvents", Resource = {bus} }}]'
    yield "  })"
    yield "}"


def _render_arn(arn: str) -> str:
    own = ":${data.aws_caller_identity.rules.account_id}:event-bus/"
    return f'"{arn.replace(_ANY_ACCOUNT, own)}"' if _ANY_ACCOUNT in arn else _hcl(arn)


def _identifier(rule: Rule) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", rule.name).lower()


def _hcl(value: Any) -> str:
    return escape_hcl(json.dumps(value, ensure_ascii=False))
