"""Work that the pool gives its workers, or does itself when they are busy, wrong or gone."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Optional

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.common.new_files import TargetFolder
from rolerunner.errors import NotFound, StepError
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Copy, Get, Outcome
from rolerunner.storage.workers import pool as pool_module
from rolerunner.storage.workers import protocol
from rolerunner.storage.workers.channel import Channel, ChannelClosed
from rolerunner.storage.workers.pool import NoWorkerAvailable, WorkerPool
from rolerunner.storage.workers.protocol import OperationSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SPEC = OperationSpec("copy", (JOB, Access()))


class FakeProcess:
    """A worker process whose part a function in a thread plays."""

    pid = 999_999

    def __init__(self, behave: Callable[[Channel], None]) -> None:
        ours, theirs = socket.socketpair()
        self.channel, self._theirs = Channel(ours), Channel(theirs)
        self.is_ended = self.is_killed = False
        self.checks = 0
        self._thread = threading.Thread(target=self._run, args=(behave,), daemon=True)
        self._thread.start()

    def _run(self, behave: Callable[[Channel], None]) -> None:
        try:
            behave(self._theirs)
        except ChannelClosed:
            pass
        finally:
            self._theirs.shut_down()

    def close(self) -> None:
        """Closes both ends."""
        self.end()
        self.channel.close()
        self._theirs.close()

    def check(self) -> None:
        self.checks += 1

    def kill(self) -> None:
        self.is_killed = True
        self.channel.shut_down()

    def end(self) -> None:
        self.is_ended = True
        self.channel.shut_down()
        self._thread.join(20)


class FakeProcesses:
    """The processes of a run; sessions are named by their roles."""

    started: ClassVar[list[FakeProcess]] = []
    """All processes of a test."""

    def __init__(self, *behaviors: Callable[[Channel], None]) -> None:
        self.processes = [FakeProcess(each) for each in behaviors]
        self.started.extend(self.processes)
        self.released: list[FakeProcess] = []

    def acquire(self) -> list[FakeProcess]:
        return self.processes

    def release(self, process: FakeProcess) -> None:
        self.released.append(process)

    def lend(self, role: Any, token: str) -> str:
        if token == "refused":
            raise StepError("the role was refused")
        return f"{role} after {token}"


def work(channel: Channel) -> None:
    """Answers as a worker: an outcome for each item, and the double of each call's number."""
    assert channel.receive() == (protocol.OPEN, SPEC)
    while True:
        kind, *values = channel.receive()
        if kind == protocol.ITEMS:
            outcomes = [Outcome(item.target, etag="worker") for item in values[0]]
            channel.send(protocol.OUTCOMES, outcomes, 10 * len(outcomes))
        elif kind == protocol.CALL:
            number, _, argument = values
            channel.send(protocol.RESULT, number, 2 * argument)
        else:
            channel.send(protocol.DONE)
            channel.receive()


def open_pool(
    processes: Any, cancel: Optional[Cancel] = None, pacer: Optional[Pacer] = None
) -> WorkerPool:
    return WorkerPool(processes, SPEC, pacer or Pacer(), cancel or Cancel())


def make_items(count: int) -> list[Copy]:
    return [Copy(S3Uri("a", str(number)), S3Uri("b", str(number))) for number in range(count)]


def begin(item: Copy) -> Outcome:
    if not isinstance(item, Copy):
        raise StepError("it broke")
    return Outcome(item.target, etag="repeated" if item.repeated else "here")


def dispatch(pool: WorkerPool, items: list[Any]) -> list[Outcome]:
    found = pool.dispatch(items, begin, lambda item: getattr(item, "target", None))
    return [each for each in found if each is not None]


def count_by_place(outcomes: list[Outcome]) -> dict[str, int]:
    places = [each.etag for each in outcomes]
    assert len({each.uri for each in outcomes}) == len(outcomes), "one outcome for each item"
    return {place: places.count(place) for place in sorted(set(places))}


@pytest.fixture(autouse=True)
def _close_processes() -> Iterator[None]:
    yield
    while FakeProcesses.started:
        FakeProcesses.started.pop().close()


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_LOCAL_FIRST", 3)
    monkeypatch.setattr(pool_module, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(pool_module, "_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(pool_module, "_STOP_SECONDS", 0.5)


def test_few_items_are_worked_on_here() -> None:
    processes = FakeProcesses(work)
    with open_pool(processes) as pool:
        assert count_by_place(dispatch(pool, make_items(3))) == {"here": 3}
    assert pool._workers is None, "none was acquired"


def test_more_items_go_to_workers() -> None:
    processes = FakeProcesses(work, work)
    moved: list[int] = []
    pacer = Pacer()
    pacer.on_bytes = moved.append
    with open_pool(processes, pacer=pacer) as pool:
        places = count_by_place(dispatch(pool, make_items(100)))
    assert places == {"here": 3, "worker": 97}
    assert sum(moved) == 970
    assert processes.released == processes.processes


def test_items_go_on_here_while_workers_have_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_MAX_ITEMS", 5)
    go_on = threading.Event()

    def slow(channel: Channel) -> None:
        assert channel.receive() == (protocol.OPEN, SPEC)
        items = list(channel.receive()[1])
        go_on.wait(20)
        channel.send(protocol.OUTCOMES, [Outcome(item.target, etag="worker") for item in items], 0)
        channel.receive()
        channel.send(protocol.DONE)

    with open_pool(FakeProcesses(slow)) as pool:
        found = pool.dispatch(make_items(20), begin, lambda item: item.target)
        outcomes = [next(found) for _ in range(15)]
        go_on.set()
        outcomes += [each for each in found if each is not None]
    assert count_by_place(outcomes) == {"here": 15, "worker": 5}


def test_what_has_no_name_or_the_same_name_stays_here() -> None:
    items = make_items(10)
    with open_pool(FakeProcesses(work)) as pool:
        found = list(pool.dispatch(items, begin, lambda _: None))
        assert count_by_place(found) == {"here": 10}
        same = [items[0]] * 20
        outcomes = [each for each in pool.dispatch(same, begin, lambda i: i.target) if each]
    assert len(outcomes) == 20
    assert {each.etag for each in outcomes} == {"here", "worker"}


def test_outcomes_among_the_items_pass() -> None:
    decided = Outcome(S3Uri("b", "decided"), status="skipped")
    with open_pool(FakeProcesses()) as pool:
        assert list(pool.dispatch([decided, None], begin, lambda _: "x")) == [decided, None]


@pytest.mark.parametrize("can_fork", [False, True])
def test_without_workers_everything_is_done_here(can_fork: bool) -> None:
    with open_pool(FakeProcesses() if can_fork else None) as pool:
        assert count_by_place(dispatch(pool, make_items(10))) == {"here": 10}
        with pytest.raises(NoWorkerAvailable):
            pool.call("double", 1, here=9)


def test_a_limited_rate_holds_in_one_process() -> None:
    with open_pool(FakeProcesses(work), pacer=Pacer(requests_per_second=1e9)) as pool:
        assert count_by_place(dispatch(pool, make_items(10))) == {"here": 10}


def test_what_a_worker_leaves_is_done_here() -> None:
    def die(channel: Channel) -> None:
        channel.receive()
        items = channel.receive()[1]
        channel.send(protocol.OUTCOMES, [Outcome(items[0].target, etag="worker")], 0)

    processes = FakeProcesses(die)
    with open_pool(processes) as pool:
        assert count_by_place(dispatch(pool, make_items(10))) == {
            "here": 3,
            "repeated": 6,
            "worker": 1,
        }
        assert count_by_place(dispatch(pool, make_items(10))) == {"here": 10}
    assert processes.processes[0].is_ended
    assert processes.released == []


def test_the_files_of_a_worker_that_died_are_deleted(tmp_path: Path) -> None:
    folder = TargetFolder.at(tmp_path)
    items = [Get(S3Uri("a", str(n)), tmp_path / str(n), folder=folder) for n in range(5)]
    pid = FakeProcess.pid
    left, theirs, other = (
        tmp_path / f".rolerunner-{token}.{number}-{'0' * 16}"
        for token, number in ((folder.token, pid), (folder.token, pid + 1), ("1" * 16, pid))
    )

    def die(channel: Channel) -> None:
        channel.receive()
        channel.receive()
        for path in (left, theirs, other):
            path.touch()

    processes = FakeProcesses(die)
    with open_pool(processes) as pool:
        found = pool.dispatch(items, lambda item: Outcome(item.source), lambda item: item.source)
        assert len([each for each in found if each is not None]) == 5
    assert [path.exists() for path in (left, theirs, other)] == [False, True, True]


def test_an_error_that_ends_the_operation_is_raised() -> None:
    def fail(channel: Channel) -> None:
        channel.receive()
        channel.receive()
        channel.send(protocol.FAILED, NotFound("no such bucket", type="NoSuchBucket"))
        assert channel.receive() == (protocol.STOP,)
        channel.send(protocol.DONE)

    processes = FakeProcesses(fail)
    with pytest.raises(NotFound, match="no such bucket"), open_pool(processes) as pool:
        dispatch(pool, make_items(10))
    assert processes.released == processes.processes, "it can take another operation"


def test_a_worker_that_does_not_stop_is_ended() -> None:
    def hang(channel: Channel) -> None:
        while True:
            channel.receive()

    processes = FakeProcesses(hang)
    with pytest.raises(StepError, match="it broke"), open_pool(processes) as pool:
        dispatch(pool, [*make_items(10), S3Uri("no", "item")])
    assert processes.processes[0].is_ended
    assert processes.released == []


def test_a_worker_without_a_thread_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = FakeProcesses(work)

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with open_pool(processes) as pool:
        monkeypatch.setattr(threading.Thread, "start", fail)
        assert count_by_place(dispatch(pool, make_items(10))) == {"here": 10}
    assert processes.released == processes.processes


def test_a_session_is_lent_or_refused() -> None:
    answers: list[Any] = []

    def ask(channel: Channel) -> None:
        channel.receive()
        number = channel.receive()[1]
        for token in ("old", "refused"):
            channel.send(protocol.LEASE, 7, "reader", token)
            answers.append(channel.receive())
        channel.send(protocol.RESULT, number, "done")
        channel.receive()
        channel.send(protocol.DONE)

    with open_pool(FakeProcesses(ask)) as pool:
        assert pool.call("name", here=0) == "done"
    (_, first_number, lent), (_, _, refused) = answers
    assert (first_number, lent) == (7, "reader after old")
    assert isinstance(refused, StepError)


def test_a_call_goes_to_a_worker_that_has_no_more_calls_than_there_are_here() -> None:
    with open_pool(FakeProcesses(work)) as pool:
        assert [pool.call("double", number, here=0) for number in (1, 2)] == [2, 4]
        pool._acquire_workers()[0].calls[99] = None  # type: ignore[assignment]
        with pytest.raises(NoWorkerAvailable):
            pool.call("double", 3, here=0)
        assert pool.call("double", 3, here=1) == 6
        del pool._acquire_workers()[0].calls[99]


def test_a_call_raises_what_the_method_raised() -> None:
    def fail(channel: Channel) -> None:
        channel.receive()
        channel.send(protocol.RAISED, channel.receive()[1], NotFound("gone"))
        channel.receive()
        channel.send(protocol.DONE)

    with open_pool(FakeProcesses(fail)) as pool, pytest.raises(NotFound, match="gone"):
        pool.call("read", here=0)


def test_a_call_of_a_worker_that_dies_is_left_to_the_caller() -> None:
    def die(channel: Channel) -> None:
        channel.receive()
        channel.receive()

    with open_pool(FakeProcesses(die)) as pool:
        for _ in range(2):
            with pytest.raises(NoWorkerAvailable):
                pool.call("read", here=0)


def test_a_cancelled_call_is_not_waited_for() -> None:
    cancel = Cancel()

    def hang(channel: Channel) -> None:
        channel.receive()
        channel.receive()
        cancel.set()
        while channel.receive() != (protocol.STOP,):
            pass
        channel.send(protocol.DONE)

    processes = FakeProcesses(hang)
    with pytest.raises(StepError) as failed, open_pool(processes, cancel) as pool:
        pool.call("read", here=0)
    assert failed.value.type == "Stopped"


def test_a_process_that_takes_nothing_is_killed() -> None:
    processes = FakeProcesses(lambda channel: channel.shut_down())
    with open_pool(processes) as pool:
        assert set(count_by_place(dispatch(pool, make_items(300)))) <= {"here", "repeated"}
    assert processes.processes[0].is_killed


def test_processes_are_checked_while_they_are_waited_for() -> None:
    def slow(channel: Channel) -> None:
        channel.receive()
        number = channel.receive()[1]
        time.sleep(0.2)
        channel.send(protocol.RESULT, number, 1)
        channel.receive()
        channel.send(protocol.DONE)

    processes = FakeProcesses(slow)
    with open_pool(processes) as pool:
        pool.call("read", here=0)
    assert processes.processes[0].checks > 0
