"""Targets are told once, at the same time, and none of them holds up a run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Optional

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from rolerunner.events import Note
from rolerunner.model import (
    Failure,
    Notification,
    PlannedNotification,
    Role,
    RunLocation,
    RunResult,
    StepResult,
)
from rolerunner.notifications import delivery
from rolerunner.notifications.delivery import NOT_NOTIFIED, NOTIFIED, Sender, select_targets
from rolerunner.redaction.secrets import register_secret
from tests.webhook_server import SECRET, serve_webhooks

if TYPE_CHECKING:
    from collections.abc import Callable

OPS = Role("arn:aws:iam::111122223333:role/ops", "ops")
TOPIC = "arn:aws:sns:eu-west-1:111122223333:runs"
QUEUE = "arn:aws:sqs:eu-central-1:111122223333:runs"
FAILED = RunResult(
    "r1",
    "nightly job",
    "failed",
    "2026-01-31T02:00:00Z",
    3.0,
    (),
    (StepResult("fetch", "s3.list", "reader", "failed", error=Failure("T", "it broke")),),
)


RECEIVED = {"MessageId": "m1", "Entries": [{"EventId": "e1"}]}
"""The answers of the three services, together."""


class FakeClient:
    """A client of a service; ``answer`` decides what each call returns or raises."""

    def __init__(self, answer: Callable[[int], Any], calls: list[Any], place: Any) -> None:
        self.meta = self
        self.endpoint_url = "https://sqs.example.com/"
        self._answer, self._calls, self._place = answer, calls, place

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            self._calls.append((*self._place, operation, parameters))
            answer = self._answer(len(self._calls))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class Bench:
    """Tells targets of a run that failed, and keeps the notes."""

    def __init__(self, answer: Callable[[int], Any] = lambda _: RECEIVED) -> None:
        self.answer = answer
        self.calls: list[Any] = []
        self.notes: list[Note] = []

    def client(self, role: Role, service: str, *, region: str = "", config: Any = None) -> Any:
        assert config.retries["total_max_attempts"] == 1, "a message is sent once"
        return FakeClient(self.answer, self.calls, (str(role), service, region))

    def session_arn(self, role: Role) -> str:
        return f"session of {role}"

    def find_ca_bundle(self) -> Optional[str]:
        return None

    def tell(self, *notifications: Notification, **more: Any) -> list[Note]:
        sandbox = more.pop("in_sandbox", False)
        sessions: Any = self
        sender = Sender(sessions, {}, self.notes.append, RunLocation(), sandbox)  # type: ignore[arg-type]
        sender.tell_end([PlannedNotification(each) for each in notifications], FAILED, **more)
        return self.notes


def notification(kind: Any, target: Any, on: Any = ("failed",), **more: Any) -> Notification:
    return Notification(on, kind, target, None if kind == "webhook" else OPS, **more)


def refusal(code: str, status: int = 400, operation: str = "Publish") -> ClientError:
    metadata = {"HTTPStatusCode": status}
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": metadata}, operation
    )


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_each_kind_of_target_gets_the_message_in_its_region() -> None:
    bench = Bench()
    notes = bench.tell(
        notification("sns", TOPIC), notification("sqs", QUEUE), notification("event", "bus")
    )
    assert [(note.message, note.values["target"]) for note in notes] == [
        (NOTIFIED, f"sns {TOPIC}"),
        (NOTIFIED, f"sqs {QUEUE}"),
        (NOTIFIED, "event bus"),
    ]
    calls = {service: (role, *rest) for role, service, *rest in bench.calls}
    role, region, operation, parameters = calls["sns"]
    assert (role, region, operation) == ("ops", "eu-west-1", "publish")
    assert parameters["MessageAttributes"]["event"]["StringValue"] == "failed"
    assert "MessageGroupId" not in parameters
    _, region, operation, parameters = calls["sqs"]
    assert (region, operation) == ("eu-central-1", "send_message")
    assert parameters["QueueUrl"] == "https://sqs.example.com/111122223333/runs"
    _, region, operation, parameters = calls["events"]
    assert (region, operation) == ("", "put_events")
    (entry,) = parameters["Entries"]
    assert (entry["EventBusName"], entry["Source"]) == ("bus", "rolerunner")


def test_a_fifo_target_gets_an_order() -> None:
    bench = Bench()
    bench.tell(notification("sqs", f"{QUEUE}.fifo"))
    parameters = bench.calls[0][-1]
    assert parameters["MessageGroupId"] == "nightly-job"
    assert parameters["MessageDeduplicationId"] == "failed-r1"


def test_only_targets_of_this_end_are_told_and_each_once() -> None:
    first, second = notification("sns", TOPIC), notification("sns", TOPIC, ("failed", "succeeded"))
    other = notification("sns", TOPIC, ("succeeded",))
    planned = [PlannedNotification(each) for each in (other, first, second)]
    assert select_targets(planned, {"failed"}) == [planned[1]]
    assert select_targets(planned, {"warning"}) == []
    bench = Bench()
    assert bench.tell(other) == []
    assert bench.calls == []


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://sns"),
        ConnectTimeoutError(endpoint_url="https://sns"),
        refusal("ThrottlingException"),
        refusal("any", 503),
    ],
)
def test_a_message_that_was_not_received_is_sent_again(error: Exception) -> None:
    bench = Bench(lambda number: error if number < 3 else RECEIVED)
    (note,) = bench.tell(notification("sns", TOPIC))
    assert (note.message, len(bench.calls)) == (NOTIFIED, 3)
    bench = Bench(lambda _: error)
    (note,) = bench.tell(notification("sns", TOPIC))
    assert (note.level, note.message, len(bench.calls)) == ("warning", NOT_NOTIFIED, 3)


def test_a_message_that_may_have_been_received_is_not_sent_again() -> None:
    bench = Bench(lambda _: ReadTimeoutError(endpoint_url="https://sns"))
    (note,) = bench.tell(notification("sns", TOPIC))
    assert (note.message, len(bench.calls)) == (NOT_NOTIFIED, 1)
    assert note.values["type"] == "ReadTimeoutError"
    assert str(note.values["error"]).startswith("sns: ")


def test_a_refusal_names_the_role_and_what_it_needs() -> None:
    bench = Bench(lambda _: refusal("AuthorizationError", 403))
    (note,) = bench.tell(notification("sns", TOPIC))
    assert len(bench.calls) == 1
    assert "the role 'ops'" in str(note.values["error"])


def test_an_event_that_the_bus_refuses_is_not_delivered() -> None:
    entry = {"ErrorCode": "InternalFailure", "ErrorMessage": "not now"}
    bench = Bench(lambda _: {"FailedEntryCount": 1, "Entries": [entry]})
    (note,) = bench.tell(notification("event", "bus"))
    assert note.message == NOT_NOTIFIED
    assert "not now" in str(note.values["error"])


def test_a_message_is_sent_only_if_the_service_says_so() -> None:
    for kind, target in (("sns", TOPIC), ("sqs", QUEUE), ("event", "bus")):
        bench = Bench(lambda _: {})
        (note,) = bench.tell(notification(kind, target))
        assert (note.message, len(bench.calls)) == (NOT_NOTIFIED, 1)
        assert "the response has no" in str(note.values["error"])


def test_one_target_that_fails_leaves_the_others() -> None:
    bench = Bench(lambda _: RECEIVED)
    failing = notification("webhook", register_secret("http://192.0.2.1/delivery-tests"))
    notes = bench.tell(failing, notification("sns", TOPIC))
    assert [note.message for note in notes] == [NOT_NOTIFIED, NOTIFIED]


def test_a_target_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SECONDS", 0.2)
    ends = threading.Event()
    bench = Bench(lambda _: ends.wait(20) and RECEIVED)
    started = time.monotonic()
    notes = bench.tell(notification("sns", TOPIC), notification("sqs", QUEUE))
    assert time.monotonic() - started < 5
    ends.set()
    for note in notes:
        assert (note.message, note.values["type"]) == (NOT_NOTIFIED, "Timeout")
        assert note.values["error"] == "no answer within 0.2 s; it may have the message"


def test_a_machine_without_threads_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    bench = Bench()
    (note,) = bench.tell(notification("sns", TOPIC))
    assert note.message == NOT_NOTIFIED
    assert "can't start new thread" in str(note.values["error"])


def test_a_webhook_is_posted_to_and_never_shown() -> None:
    with serve_webhooks() as running:
        good, bad = (register_secret(running.url(each)) for each in ("ok", "refuse"))
        notes = Bench().tell(
            notification("webhook", good, number=0), notification("webhook", bad, number=1)
        )
        assert len(running.posts("ok")) == 1
    assert [note.message for note in notes] == [NOTIFIED, NOT_NOTIFIED]
    assert notes[0].values["target"] == "webhook notify[0]"
    assert "403" in str(notes[1].values["error"])
    assert SECRET not in str(notes)


@pytest.mark.parametrize(
    ("target", "in_sandbox", "kind"),
    [("", False, "NoUrl"), ("https://hooks.example.com/delivery-tests", True, "InSandbox")],
)
def test_some_webhooks_are_not_posted_to(target: str, in_sandbox: bool, kind: str) -> None:
    (note,) = Bench().tell(notification("webhook", target), in_sandbox=in_sandbox)
    assert (note.message, note.values["type"]) == (NOT_NOTIFIED, kind)
