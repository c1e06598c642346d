"""Messages of topics, queues and buses, from the emulator's records of requests."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.sandbox.messages import RecordedMessage, read_messages

TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:ops"
BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/ops"


def record(service: str, **fields: Any) -> dict[str, Any]:
    return {
        "service": service, "issued": None, "error": "", "key": "111122223333",
        "region": "eu-west-1", "query": {}, "form": {}, "json": None, "target": "", "path": "/",
        **fields,
    }  # fmt: skip


def publish(**form: str) -> dict[str, Any]:
    return record("sns", form={"Action": "Publish", **form})


def send(name: str = "SendMessage", **body: Any) -> dict[str, Any]:
    return record("sqs", target=f"AmazonSQS.{name}", json=body)


def put_events(*entries: Any, **fields: Any) -> dict[str, Any]:
    return record("events", target="AWSEvents.PutEvents", json={"Entries": entries}, **fields)


def test_messages_to_a_topic() -> None:
    assert read_messages([publish(TopicArn=TOPIC, Message="m", Subject="s")]) == [
        RecordedMessage(TOPIC, "m", "s")
    ]
    assert read_messages([publish(TargetArn=TOPIC)]) == [RecordedMessage(TOPIC, "")]
    entry = "PublishBatchRequestEntries.member"
    batch = {
        f"{entry}.1.Message": "a", f"{entry}.1.Subject": "s", f"{entry}.2.Message": "b",
        "TopicArn": TOPIC, "Action": "PublishBatch",
    }  # fmt: skip
    assert read_messages([record("sns", form=batch)]) == [
        RecordedMessage(TOPIC, "a", "s"),
        RecordedMessage(TOPIC, "b"),
    ]
    assert read_messages([record("sns", form={"Action": "Subscribe", "TopicArn": TOPIC})]) == []


def test_messages_to_a_queue() -> None:
    url = "http://localhost:1/111122223333/ops"
    assert read_messages([send(QueueUrl=url, MessageBody="m")]) == [RecordedMessage(QUEUE, "m")]
    batch = send("SendMessageBatch", QueueUrl=url, Entries=[{"MessageBody": "a"}, {}])
    assert read_messages([batch]) == [RecordedMessage(QUEUE, "a"), RecordedMessage(QUEUE, "")]
    old = record("sqs", form={"Action": "SendMessage", "QueueUrl": url, "MessageBody": "m"})
    assert read_messages([old]) == [RecordedMessage(QUEUE, "m")]
    by_path = record("sqs", form={"Action": "SendMessage"}, path="/111122223333/ops/")
    assert read_messages([by_path]) == [RecordedMessage(QUEUE, "")]
    assert read_messages([send("ReceiveMessage", QueueUrl=url)]) == []


def test_events_of_a_bus() -> None:
    entry = {"Source": "s", "DetailType": "t", "Detail": "{}"}
    assert read_messages([put_events({**entry, "EventBusName": "ops"})]) == [
        RecordedMessage(BUS, "{}", "s: t")
    ]
    assert read_messages([put_events({**entry, "EventBusName": BUS})])[0].target == BUS
    assert read_messages([put_events(entry)])[0].target == BUS.replace("ops", "default")
    assert read_messages([put_events({})])[0].whole_text == ": \n"
    assert read_messages([record("events", target="AWSEvents.PutRule", json={})]) == []
    assert read_messages([record("events", target="AWSEvents.PutEvents", json=None)]) == []


@pytest.mark.parametrize(
    ("arn", "account"),
    [("arn:aws:sts::444455556666:assumed-role/ops/r", "444455556666"), ("arn:aws:iam::x", "")],
)
def test_a_bus_is_in_the_account_of_the_session(arn: str, account: str) -> None:
    issued = record("sts", issued=("ASIA1", arn))
    (message,) = read_messages([issued, put_events({"EventBusName": "ops"}, key="ASIA1")])
    assert message.target == f"arn:aws:events:eu-west-1:{account}:event-bus/ops"
    (message,) = read_messages([put_events({"EventBusName": "ops"}, key="ASIA2")])
    assert message.target == "arn:aws:events:eu-west-1::event-bus/ops"


def test_refused_requests_and_those_of_other_services_sent_nothing() -> None:
    refused = {**publish(TopicArn=TOPIC, Message="m"), "error": "AuthorizationError"}
    assert read_messages([refused, record("s3")]) == []


@pytest.mark.parametrize(
    ("target", "kind", "name", "is_for"),
    [
        (TOPIC, "topics", "ops", True),
        (TOPIC, "topics", TOPIC, True),
        (TOPIC, "queues", "ops", False),
        (TOPIC, "topics", "op", False),
        (QUEUE, "queues", "ops", True),
        (QUEUE, "queues", TOPIC, False),
        (BUS, "event_buses", "ops", True),
        (BUS, "event_buses", "default", False),
    ],
)
def test_a_message_is_for_its_target(target: str, kind: str, name: str, is_for: bool) -> None:
    assert RecordedMessage(target, "m").is_for(kind, name) is is_for


def test_the_subject_is_the_first_line() -> None:
    assert RecordedMessage(TOPIC, "m", "s").whole_text == "s\nm"
    assert RecordedMessage(TOPIC, "m").whole_text == "m"
