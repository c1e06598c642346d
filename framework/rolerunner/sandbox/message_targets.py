"""Models topics, queues and event buses of a sandbox file, and their creation."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rolerunner.sandbox.statements import Grants, policy_document
from rolerunner.spec.field_types import StrictModel

_FORM = r"arn:aws:{service}:[a-z0-9-]+:\d{{12}}:{name}\Z"
_TOPIC = re.compile(_FORM.format(service="sns", name=r"[A-Za-z0-9_-]{1,256}(\.fifo)?"))
_QUEUE = re.compile(_FORM.format(service="sqs", name=r"[A-Za-z0-9_-]{1,80}(\.fifo)?"))
_BUS = re.compile(_FORM.format(service="events", name=r"event-bus/[A-Za-z0-9/._-]{1,256}"))


def _require(pattern: "re.Pattern[str]", form: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"must be {form} in the partition aws, not '{value}'")
        return value

    return BeforeValidator(check)


class SandboxTopic(StrictModel):
    """A topic of SNS."""

    arn: Annotated[str, _require(_TOPIC, "the ARN of a topic")]
    policy: Grants = Field(default_factory=list)


class SandboxQueue(StrictModel):
    """A queue of SQS."""

    arn: Annotated[str, _require(_QUEUE, "the ARN of a queue")]
    policy: Grants = Field(default_factory=list)


class SandboxBus(StrictModel):
    """An event bus of EventBridge. Each account has the bus default without being told."""

    arn: Annotated[str, _require(_BUS, "the ARN of an event bus")]


RegionalClients = Callable[[str, str, str], Any]
"""Maps service, account and region to a client of that account's administrator."""


def create_targets(
    topics: Iterable[SandboxTopic],
    queues: Iterable[SandboxQueue],
    buses: Iterable[SandboxBus],
    client: RegionalClients,
) -> None:
    """Creates topics, queues and event buses in the accounts and regions of their ARNs."""
    for topic in topics:
        _, _, _, region, account, name = topic.arn.split(":")
        sns = client("sns", account, region)
        sns.create_topic(Name=name, Attributes=_fifo(name, "FifoTopic"))
        if topic.policy:
            sns.set_topic_attributes(
                TopicArn=topic.arn,
                AttributeName="Policy",
                AttributeValue=policy_document(topic.policy),
            )
    for queue in queues:
        _, _, _, region, account, name = queue.arn.split(":")
        policy = {"Policy": policy_document(queue.policy)} if queue.policy else {}
        client("sqs", account, region).create_queue(
            QueueName=name, Attributes={**_fifo(name, "FifoQueue"), **policy}
        )
    for bus in buses:
        _, _, _, region, account, resource = bus.arn.split(":")
        name = resource.partition("/")[2]
        if name != "default":
            client("events", account, region).create_event_bus(Name=name)


def _fifo(name: str, attribute: str) -> dict[str, str]:
    return {attribute: "true"} if name.endswith(".fifo") else {}
