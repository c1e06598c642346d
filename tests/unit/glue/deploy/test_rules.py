"""The rules for Glue's own ends: which targets get one, and why others do not."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.glue.deploy.rules import Rule, RulePlan, plan_rules
from rolerunner.model import GlueSettings, Job, Notification

ACCOUNT = "111122223333"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:ops"
OTHERS = "arn:aws:sns:eu-west-1:222233334444:ops"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rules"


def tell(kind: Any, target: str, *on: Any, **more: Any) -> Notification:
    return Notification(on or ("failed",), kind, target, **more)


def plan(*told: Notification, name: str = "nightly", role: str = "") -> RulePlan:
    settings = GlueSettings(role=role)
    return plan_rules(Job("nightly", (), notify=told), settings, name, "eu-west-1", ACCOUNT)


@pytest.mark.parametrize(
    ("told", "note"),
    [
        (tell("webhook", "x"), "EventBridge would have to keep the URL"),
        (tell("event", "default"), "Glue itself puts its events there"),
        (tell("sns", TOPIC.replace("eu-west-1", "us-east-1")), "reaches no target in us-east-1"),
        (tell("sns", OTHERS), "needs 'rule_role' for a target in 222233334444"),
        (tell("sns", f"{TOPIC}.fifo"), "EventBridge sends to no FIFO topic"),
    ],
)
def test_a_target_without_a_rule_has_a_note(told: Notification, note: str) -> None:
    found = plan(told)
    assert found.rules == ()
    assert [note in each for each in found.notes] == [True]


@pytest.mark.parametrize("on", ["succeeded", "warning", "refused", "invalid"])
def test_ends_that_the_job_tells_of_need_no_rule(on: Any) -> None:
    assert plan(tell("sns", TOPIC, on)) == RulePlan()


def test_a_target_has_one_rule_for_all_its_ends() -> None:
    found = plan(tell("sns", TOPIC), tell("sns", TOPIC, "stopped", "failed"), tell("event", "jobs"))
    assert [rule.target["Arn"].rpartition(":")[2] for rule in found.rules] == [
        "ops", "event-bus/jobs"
    ]  # fmt: skip
    assert found.rules[0].pattern["detail"]["state"] == ["FAILED", "TIMEOUT", "STOPPED"]
    assert len({rule.name for rule in found.rules}) == 2
    assert [Rule.from_json(rule.as_json()) for rule in found.rules] == list(found.rules)


def test_a_bus_without_a_role_is_left_out_of_a_deployment() -> None:
    found = plan(tell("event", "jobs")).drop_incomplete()
    assert found.rules == ()
    assert "set 'rule_role'" in found.notes[0]
    assert plan(tell("event", "jobs", rule_role=ROLE)).drop_incomplete().rules[0].target == {
        "Id": "target",
        "Arn": f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/jobs",
        "RoleArn": ROLE,
    }


def test_names_are_valid_and_differ() -> None:
    names = [
        plan(tell("sns", TOPIC), name=name).rules[0].name
        for name in ("a b", "a-b", "é" * 255, "x" * 255, "x" * 254 + "y")
    ]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 64 and name.isascii() and " " not in name for name in names)


def test_a_bus_is_in_the_partition_of_the_jobs_role() -> None:
    (rule,) = plan(tell("event", "jobs"), role="arn:aws-cn:iam::111122223333:role/glue").rules
    assert rule.target["Arn"].startswith("arn:aws-cn:events:")
