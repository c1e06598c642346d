"""The permissions of notifications, in plans, policies and session policies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rolerunner import api
from rolerunner.cli.plan import format_plan
from rolerunner.plan.planning import plan_to_json
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import Plan

TOPIC = "arn:aws:sns:eu-west-1:222233334444:ops"
QUEUE = "arn:aws:sqs:eu-west-1:222233334444:ops"
KEY = "arn:aws:kms:eu-west-1:222233334444:key/0ab1"
SPEC = f"""
version: 1
name: nightly
params: {{url: {{type: string, secret: true, default: "https://hooks.example/T0/s3cret"}}}}
roles:
  hub: arn:aws:iam::222233334444:role/hub
  teller: {{arn: "arn:aws:iam::222233334444:role/teller", via: hub, region: eu-west-1,
           session_policy: auto}}
  reader: {{arn: "arn:aws:iam::222233334444:role/reader", session_policy: auto-per-step}}
notify:
  - {{on: [failed, refused], sns: "{TOPIC}", role: teller, key: "{KEY}"}}
  - {{on: failed, event: jobs, role: teller}}
  - {{on: failed, event: default, role: job}}
  - {{on: failed, sqs: "{QUEUE}", role: reader, key: "arn:aws:kms:eu-west-1:222233334444:alias/q"}}
  - {{on: failed, webhook: "${{{{ params.url }}}}"}}
glue: {{role: glue-nightly, region: us-east-1}}
steps:
  - {{id: find, action: s3.list, role: reader, source: s3://landing/in/}}
"""


def plan_of(tmp_path: Path) -> Plan:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return api.plan(api.load(path))


def test_policies_hold_what_notifications_need(tmp_path: Path) -> None:
    policies = {each.names[0]: each for each in derive_policies(plan_of(tmp_path), JobRoleUses())}
    teller = [each.as_json() for each in policies["teller"].permissions]
    assert {"Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC} in teller
    bus = "arn:aws:events:eu-west-1:222233334444:event-bus/jobs"
    assert {"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus} in teller
    (key,) = [each for each in teller if each["Resource"] == KEY]
    assert sorted(key["Action"]) == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert key["Condition"] == {"StringEquals": {"kms:ViaService": ["sns.eu-west-1.amazonaws.com"]}}
    reader = [each.as_json() for each in policies["reader"].permissions]
    (alias,) = [each for each in reader if "key/*" in each["Resource"]]
    assert alias["Condition"]["StringEquals"] == {"kms:ViaService": ["sqs.eu-west-1.amazonaws.com"]}
    job = [each.as_json() for each in policies["job"].permissions]
    default = "arn:aws:events:us-east-1:*:event-bus/default"
    assert {"Effect": "Allow", "Action": "events:PutEvents", "Resource": default} in job
    assert any(each["Resource"] == policies["teller"].arn for each in
               (each.as_json() for each in policies["hub"].permissions))  # fmt: skip


def test_roles_that_only_notifications_use_are_optional(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert {str(role) for role in plan.roles} == {"reader", "hub", "teller"}
    optional = {(str(role), role.step) for role in plan.optional_roles}
    assert optional == {("hub", ""), ("teller", ""), ("reader", "notify")}


def test_session_policies_allow_what_notifications_need(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    by_target = {str(each.notification.target): each.notification.role for each in plan.notify}
    teller, reader = by_target[TOPIC], by_target[QUEUE]
    assert teller is not None
    assert reader is not None
    assert "sns:Publish" in teller.policy
    assert "sqs:SendMessage" in reader.policy
    assert "s3:ListBucket" not in reader.policy, "a session of its own for notifications"
    find = plan.steps[0].step.role
    assert find is not None
    assert "sqs:SendMessage" not in find.policy


def test_the_plan_shows_who_is_told_and_no_url(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    text, shown = format_plan(plan, {}), json.dumps(plan_to_json(plan))
    assert f"notify sns {TOPIC}  on failed, refused  (role: teller)" in text
    assert f"     needs sns:Publish on {TOPIC}" in text
    assert "notify webhook notify[4]  on failed" in text
    assert "s3cret" not in text + shown
    assert plan_to_json(plan)["notify"][0] == {
        "on": ["failed", "refused"],
        "sns": TOPIC,
        "role": "teller",
        "permissions": plan_to_json(plan)["notify"][0]["permissions"],
    }
