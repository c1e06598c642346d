"""Topics, queues and event buses of a sandbox: their ARNs, and how they are created."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.sandbox.message_targets import (
    SandboxBus,
    SandboxQueue,
    SandboxTopic,
    create_targets,
)

PLACE = "eu-west-1:111122223333"
GRANT = {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*", "Principal": {"AWS": "*"}}


class Clients:
    """Records the calls of every client."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, str, dict[str, Any]]] = []

    def __call__(self, service: str, account: str, region: str) -> Any:
        calls = self.calls

        class Client:
            def __getattr__(self, operation: str) -> Any:
                return lambda **given: calls.append((service, account, region, operation, given))

        return Client()


def create(*targets: Any) -> list[tuple[str, dict[str, Any]]]:
    clients = Clients()
    create_targets(
        [each for each in targets if isinstance(each, SandboxTopic)],
        [each for each in targets if isinstance(each, SandboxQueue)],
        [each for each in targets if isinstance(each, SandboxBus)],
        clients,
    )
    assert {call[1:3] for call in clients.calls} <= {("111122223333", "eu-west-1")}
    return [(f"{call[0]}.{call[3]}", call[4]) for call in clients.calls]


@pytest.mark.parametrize(
    ("kind", "arn", "message"),
    [
        (SandboxTopic, f"arn:aws:sqs:{PLACE}:ops", "must be the ARN of a topic"),
        (SandboxTopic, f"arn:aws-cn:sns:{PLACE}:ops", "in the partition aws"),
        (SandboxTopic, "arn:aws:sns:eu-west-1:1:ops", "must be the ARN of a topic"),
        (SandboxQueue, f"arn:aws:sqs:{PLACE}:{'q' * 81}", "must be the ARN of a queue"),
        (SandboxBus, f"arn:aws:events:{PLACE}:rule/x", "must be the ARN of an event bus"),
    ],
)
def test_the_arn_is_one_of_its_kind(kind: Any, arn: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(arn=arn)


def test_a_topic_has_a_policy_if_it_grants_something() -> None:
    plain = SandboxTopic(arn=f"arn:aws:sns:{PLACE}:ops")
    assert create(plain) == [("sns.create_topic", {"Name": "ops", "Attributes": {}})]
    granting = SandboxTopic(arn=f"arn:aws:sns:{PLACE}:ops", policy=[GRANT])
    (_, (operation, given)) = create(granting)
    assert (operation, given["TopicArn"]) == ("sns.set_topic_attributes", granting.arn)
    assert json.loads(given["AttributeValue"])["Statement"] == [GRANT]


def test_a_fifo_target_is_created_as_one() -> None:
    topic = SandboxTopic(arn=f"arn:aws:sns:{PLACE}:ops.fifo")
    queue = SandboxQueue(arn=f"arn:aws:sqs:{PLACE}:jobs.fifo")
    assert create(topic, queue) == [
        ("sns.create_topic", {"Name": "ops.fifo", "Attributes": {"FifoTopic": "true"}}),
        ("sqs.create_queue", {"QueueName": "jobs.fifo", "Attributes": {"FifoQueue": "true"}}),
    ]


def test_the_bus_default_is_there_already() -> None:
    buses = [
        SandboxBus(arn=f"arn:aws:events:{PLACE}:event-bus/{name}") for name in ("default", "a/b")
    ]
    assert create(*buses) == [("events.create_event_bus", {"Name": "a/b"})]
