"""The messages that topics, queues and event buses took, from the emulator's records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TARGET_SERVICES = {"topics": "sns", "queues": "sqs", "event_buses": "events"}
"""A section of a sandbox file -> the service in the ARNs of its targets."""
_SESSION = re.compile(r"arn:aws:sts::(\d{12}):")
_ADMIN = re.compile(r"\d{12}\Z")
_BATCH_FIELD = re.compile(r"PublishBatchRequestEntries\.member\.(\d+)\.(\w+)\Z")


@dataclass(frozen=True)
class RecordedMessage:
    """A message: the ARN of its topic, queue or event bus, and its text.

    The text of an event is its detail.
    """

    target: str
    text: str
    subject: str = ""
    """The subject of a message to a topic; the source and the detail type of an event."""

    def is_for(self, kind: str, name: str) -> bool:
        """Returns True for a message to a target of this kind, given by name or ARN."""
        if name.startswith("arn:"):
            return self.target == name
        last = self.target.rpartition("event-bus/" if kind == "event_buses" else ":")[2]
        return self.target.split(":")[2] == TARGET_SERVICES[kind] and last == name

    @property
    def whole_text(self) -> str:
        """The subject, if there is one, and the text."""
        return f"{self.subject}\n{self.text}" if self.subject else self.text


def read_messages(records: Iterable[Mapping[str, Any]]) -> list[RecordedMessage]:
    """Returns the messages of requests that were granted, in their order."""
    accounts: dict[str, str] = {}
    found: list[RecordedMessage] = []
    for record in records:
        if record["issued"]:
            key, arn = record["issued"]
            session = _SESSION.match(arn)
            accounts[key] = session.group(1) if session else ""
        if not record["error"] and record["service"] in _READERS:
            key = record["key"]
            account = key if _ADMIN.match(key) else accounts.get(key, "")
            found += _READERS[record["service"]](record, account)
    return found


def _read_topic(record: Mapping[str, Any], account: str) -> Iterator[RecordedMessage]:
    del account
    form = {**record["query"], **record["form"]}
    arn = form.get("TopicArn") or form.get("TargetArn", "")
    if form.get("Action") == "Publish":
        yield RecordedMessage(arn, form.get("Message", ""), form.get("Subject", ""))
    if form.get("Action") == "PublishBatch":
        entries: dict[str, dict[str, str]] = {}
        for name, value in form.items():
            field = _BATCH_FIELD.match(name)
            if field:
                entries.setdefault(field.group(1), {})[field.group(2)] = value
        for each in entries.values():
            yield RecordedMessage(arn, each.get("Message", ""), each.get("Subject", ""))


def _read_bus(record: Mapping[str, Any], account: str) -> Iterator[RecordedMessage]:
    if not record["target"].endswith(".PutEvents") or not isinstance(record["json"], dict):
        return
    for entry in record["json"].get("Entries", ()):
        bus = entry.get("EventBusName") or "default"
        arn = (
            bus
            if bus.startswith("arn:")
            else f"arn:aws:events:{record['region']}:{account}:event-bus/{bus}"
        )
        subject = f"{entry.get('Source', '')}: {entry.get('DetailType', '')}"
        yield RecordedMessage(arn, entry.get("Detail", ""), subject)


def _read_queue(record: Mapping[str, Any], account: str) -> Iterator[RecordedMessage]:
    del account
    form = {**record["query"], **record["form"]}  # of a botocore from before SQS spoke JSON
    body = record["json"] if isinstance(record["json"], dict) else form
    operation = record["target"].rpartition(".")[2] or form.get("Action", "")
    parts = str(body.get("QueueUrl", "") or record["path"]).rstrip("/").split("/")
    arn = f"arn:aws:sqs:{record['region']}:{':'.join(parts[-2:])}"
    if operation == "SendMessage":
        yield RecordedMessage(arn, str(body.get("MessageBody", "")))
    if operation == "SendMessageBatch":
        for each in body.get("Entries", ()):
            yield RecordedMessage(arn, str(each.get("MessageBody", "")))


_READERS = {"sns": _read_topic, "events": _read_bus, "sqs": _read_queue}
