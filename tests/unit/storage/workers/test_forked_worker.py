"""The messages of its parent that a worker receives, and those that it sends back."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.errors import NotFound, StepError
from rolerunner.model import Role, S3Uri
from rolerunner.storage.protocol import Access, Outcome
from rolerunner.storage.thread_pool import ThreadPool
from rolerunner.storage.workers import forked_worker, protocol
from rolerunner.storage.workers.channel import Channel, ChannelClosed
from rolerunner.storage.workers.forked_worker import BATCH_SIZE, ForkedWorker
from rolerunner.storage.workers.protocol import OperationSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.pacing import Pacer

WRITER, READER = Role("arn:w", "writer"), Role("arn:r", "reader")
ACCESS = Access(bucket_owner="111122223333")


class FakeStorage:
    """Works on names; ``transport`` is itself."""

    def __init__(self, role: Role, access: Optional[Access], pacer: Optional[Pacer]) -> None:
        self.role, self.access, self.pacer = role, access, pacer

    def work(self, items: Iterable[Any], *arguments: Any) -> Iterator[Outcome]:
        *source, cancel = arguments
        for item in items:
            if item == "fail":
                raise NotFound("no such bucket", type="NoSuchBucket")
            if item == "wait":
                cancel.wait(20)
                cancel.stop_if_set()
            if item is None:
                continue
            if self.pacer is not None:
                self.pacer.report_bytes(len(item))
            roles = [str(each.role) for each in (self, *source)]
            yield Outcome(S3Uri("b", item), etag=" ".join(roles))

    def double(self, number: int, cancel: Cancel) -> int:
        assert not cancel.is_set()
        return 2 * number

    def unpicklable(self, kind: str, _: Cancel) -> Any:
        if kind == "result":
            return threading.Lock()
        error = StepError("broken", type="Broken") if kind == "own" else ValueError("broken")
        error.lock = threading.Lock()  # type: ignore[union-attr]
        raise error

    def name_source(self, source: FakeStorage, _: Cancel) -> str:
        return str(source.role)


class Bench:
    """A worker in a thread, and its parent's end of the channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        self.opened: list[FakeStorage] = []
        self._theirs = Channel(theirs)
        self.worker = ForkedWorker(self._theirs, self._open)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.worker.serve, daemon=True)
        self.thread.start()

    def _open(self, role: Role, access: Optional[Access], pacer: Optional[Pacer]) -> FakeStorage:
        self.opened.append(FakeStorage(role, access, pacer))
        return self.opened[-1]

    def open(self, source: Optional[Role] = None) -> None:
        reads = None if source is None else (source, Access())
        self.channel.send(protocol.OPEN, OperationSpec("work", (WRITER, ACCESS), reads))

    def receive(self, *kinds: str) -> tuple[Any, ...]:
        """Returns the next message that is not progress alone."""
        while True:
            message = self.channel.receive()
            if message[:2] != (protocol.OUTCOMES, []):
                assert message[0] in kinds
                return message

    def close(self) -> None:
        self.channel.shut_down()
        self.thread.join(20)
        assert not self.thread.is_alive(), "it ends with its channel"
        self.channel.close()
        self._theirs.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def keys(message: tuple[Any, ...]) -> list[str]:
    return [outcome.uri.key for outcome in message[1]]


def test_outcomes_are_sent_as_soon_as_there_is_nothing_else_to_do(bench: Bench) -> None:
    bench.open()
    for batch in (["a", "b"], ["c"]):
        bench.channel.send(protocol.ITEMS, batch)
        message = bench.receive(protocol.OUTCOMES)
        assert (keys(message), message[2]) == (batch, len(batch))
    assert (bench.opened[0].role, bench.opened[0].access) == (WRITER, ACCESS)
    bench.channel.send(protocol.CLOSE)
    assert bench.receive(protocol.DONE) == (protocol.DONE,)


def test_many_outcomes_are_sent_in_batches(bench: Bench) -> None:
    bench.open()
    names = [str(number) for number in range(2 * BATCH_SIZE + 1)]
    bench.channel.send(protocol.ITEMS, names)
    bench.channel.send(protocol.CLOSE)
    sent = [keys(bench.receive(protocol.OUTCOMES)) for _ in range(3)]
    assert [len(each) for each in sent] == [BATCH_SIZE, BATCH_SIZE, 1]
    assert [key for each in sent for key in each] == names
    assert bench.receive(protocol.DONE) == (protocol.DONE,)


def test_a_worker_serves_one_operation_after_the_other(bench: Bench) -> None:
    for source, roles in ((None, "writer"), (READER, "writer reader")):
        bench.open(source)
        bench.channel.send(protocol.ITEMS, ["a"])
        bench.channel.send(protocol.CLOSE)
        _, (outcome,), _ = bench.receive(protocol.OUTCOMES)
        assert outcome.etag == roles
        bench.receive(protocol.DONE)


def test_what_ends_an_operation_is_sent(bench: Bench) -> None:
    bench.open()
    bench.channel.send(protocol.ITEMS, ["a", "fail"])
    _, error = bench.receive(protocol.FAILED)
    assert isinstance(error, NotFound)
    assert error.type == "NoSuchBucket"
    bench.receive(protocol.DONE)


def test_a_stopped_operation_sends_no_error(bench: Bench) -> None:
    bench.open()
    bench.channel.send(protocol.ITEMS, ["wait"])
    bench.channel.send(protocol.STOP)
    assert bench.receive(protocol.DONE) == (protocol.DONE,)


def test_calls_run_beside_items(bench: Bench) -> None:
    bench.open(READER)
    bench.channel.send(protocol.ITEMS, ["wait"])
    bench.channel.send(protocol.CALL, 7, "name_source")
    assert bench.receive(protocol.RESULT) == (protocol.RESULT, 7, "reader")
    bench.channel.send(protocol.STOP)
    bench.receive(protocol.DONE)
    assert len(bench.opened) == 2, "one storage for each role"


@pytest.mark.parametrize(
    ("kind", "answer", "text", "error_type"),
    [
        ("result", protocol.RESULT, "lock: <unlocked", "lock"),
        ("own", protocol.RAISED, "broken", "Broken"),
        ("other", protocol.RAISED, "ValueError: broken", "ValueError"),
    ],
)
def test_what_cannot_be_sent_is_described(
    bench: Bench, kind: str, answer: str, text: str, error_type: str
) -> None:
    bench.open()
    bench.channel.send(protocol.CALL, 1, "double", 21)
    assert bench.receive(protocol.RESULT) == (protocol.RESULT, 1, 42)
    bench.channel.send(protocol.CALL, 2, "unpicklable", kind)
    _, number, error = bench.receive(answer)
    assert number == 2
    assert isinstance(error, StepError)
    assert error.type == error_type
    assert text in error.message
    bench.channel.send(protocol.CLOSE)
    bench.receive(protocol.DONE)


def test_a_call_that_does_not_exist_is_an_error_of_the_call(bench: Bench) -> None:
    bench.open()
    bench.channel.send(protocol.CALL, 3, "no_such_method")
    assert isinstance(bench.receive(protocol.RAISED)[2], AttributeError)
    bench.channel.send(protocol.CLOSE)
    bench.receive(protocol.DONE)


def test_a_call_without_a_thread_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPool, "submit", refuse)
    bench.open()
    bench.channel.send(protocol.CALL, 4, "double", 21)
    assert bench.receive(protocol.REFUSED) == (protocol.REFUSED, 4)
    bench.channel.send(protocol.CLOSE)
    bench.receive(protocol.DONE)


def test_a_worker_that_cannot_read_a_message_closes_its_channel(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    monkeypatch.setattr(bench.worker, "_on_message", iter(()).__next__)
    bench.open()
    with pytest.raises(ChannelClosed):
        bench.receive()
    bench.thread.join(10)
    assert not bench.thread.is_alive()
    assert [each.exc_type for each in failures] == [TypeError]


def test_sessions_are_lent_by_the_parent(bench: Bench) -> None:
    leases: list[Any] = []

    def lease() -> None:
        try:
            leases.append(bench.worker.lease(READER, "old token"))
        except StepError as error:
            leases.append(error.message)

    for reply in ("a session", StepError("the role was refused")):
        asking = threading.Thread(target=lease)
        asking.start()
        _, number, role, token = bench.receive(protocol.LEASE)
        assert (role, token) == (READER, "old token")
        bench.channel.send(protocol.LEASE, number, reply)
        asking.join(20)
    assert leases == ["a session", "the role was refused"]


def test_the_end_of_the_parent_stops_whatever_waits(bench: Bench) -> None:
    failed: list[StepError] = []

    def lease() -> None:
        try:
            bench.worker.lease(READER, "")
        except StepError as error:
            failed.append(error)

    asking = threading.Thread(target=lease)
    asking.start()
    bench.receive(protocol.LEASE)
    bench.open()
    bench.channel.send(protocol.ITEMS, ["wait"])
    while not bench.opened:
        time.sleep(0.001)
    bench.channel.shut_down()
    bench.thread.join(20)
    asking.join(20)
    assert not bench.thread.is_alive()
    assert [error.type for error in failed] == ["Stopped"]


def test_messages_without_an_operation_are_ignored(bench: Bench) -> None:
    bench.channel.send(protocol.STOP)
    bench.open()
    bench.channel.send(protocol.ITEMS, ["a"])
    assert keys(bench.receive(protocol.OUTCOMES)) == ["a"]
    bench.channel.send(protocol.CLOSE)


def test_progress_is_reported_without_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    progress = forked_worker._ProgressSender(lambda *message: sent.append(message))
    monkeypatch.setattr(forked_worker, "_REPORT_SECONDS", 60)
    progress.add_bytes((4 << 20) - 1)
    assert sent == []
    progress.add_bytes(1)
    assert sent == [(protocol.OUTCOMES, [], 4 << 20)]
    progress.add_bytes(5)
    assert (progress.take_bytes(), progress.take_bytes()) == (5, 0)
    monkeypatch.setattr(forked_worker, "_REPORT_SECONDS", 0)
    progress.add_bytes(6)
    assert sent[1:] == [(protocol.OUTCOMES, [], 6)]


def test_a_channel_that_closes_stops_an_operation_that_sends(bench: Bench) -> None:
    bench.open()
    bench.channel.send(protocol.ITEMS, [str(number) for number in range(BATCH_SIZE)])
    bench.channel.shut_down()
    bench.thread.join(20)
    assert not bench.thread.is_alive()
    with pytest.raises(ChannelClosed):
        bench.channel.send(protocol.CLOSE)
