"""Topics, queues and event buses that a sandbox without a file makes up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.iam.policy import Statement
from rolerunner.model import Notification, Role
from rolerunner.policies.least_privilege import RolePolicies
from rolerunner.sandbox.made_up_targets import MadeUpTargets, make_up_targets
from rolerunner.sandbox.world import DEFAULT_REGION

JOB_ROLE = "arn:aws:iam::123456789012:role/glue"
OTHER = "arn:aws:iam::222233334444:role/r"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:jobs"


def make_up(*told: Notification, roles: tuple[RolePolicies, ...] = ()) -> MadeUpTargets:
    plan: Any = SimpleNamespace(notify=[SimpleNamespace(notification=each) for each in told])
    return make_up_targets(plan, JOB_ROLE, roles)


def tell(kind: Any, target: str, role: Role | None = None) -> Notification:
    return Notification(("failed",), kind, target, role)


def test_a_topic_and_a_queue_let_roles_of_other_accounts_in() -> None:
    allowed = Statement(("sns:Publish",), (TOPIC, "x"))
    own = RolePolicies(("own",), "arn:aws:iam::111122223333:role/own", (allowed,), ())
    other = RolePolicies(("other",), OTHER, (allowed, Statement(("s3:GetObject",), ("x",))), ())
    made = make_up(tell("sns", TOPIC), tell("sqs", QUEUE), roles=(own, other))
    ((topic,), (queue,)) = (made.topics, made.queues)
    (grant,) = topic.policy
    assert grant["Principal"] == {"AWS": "arn:aws:iam::222233334444:root"}
    assert (grant["Resource"], queue.policy) == (TOPIC, [])
    assert made.notes[0] == f"{TOPIC} is made up, and takes what the spec's roles send"


@pytest.mark.parametrize(
    ("role", "place"),
    [
        (None, f"{DEFAULT_REGION}:123456789012"),
        (Role(OTHER), f"{DEFAULT_REGION}:222233334444"),
        (Role(OTHER, region="us-east-2"), "us-east-2:222233334444"),
    ],
)
def test_a_bus_that_is_named_is_where_its_role_is(role: Role | None, place: str) -> None:
    (bus,) = make_up(tell("event", "jobs", role)).event_buses
    assert bus.arn == f"arn:aws:events:{place}:event-bus/jobs"


def test_the_bus_default_is_not_made_up() -> None:
    assert make_up(tell("event", "default")) == MadeUpTargets()


def test_a_webhook_is_only_noted() -> None:
    made = make_up(tell("webhook", "https://hooks.example/key"))
    assert made == MadeUpTargets(notes=["webhook notify[0]: posts go to this machine only"])


def test_a_target_of_several_notifications_is_one() -> None:
    assert len(make_up(tell("sns", TOPIC), tell("sns", TOPIC)).topics) == 1
