"""The processes that help with one operation: objects are dealt to them, and parts of large ones given to them.

Whatever one of them leaves undone, because it died, is done here.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.files import remove_temporaries
from rolerunner.storage.protocol import Get, Outcome, prepare_retry
from rolerunner.storage.workers.channel import ChannelClosed
from rolerunner.storage.workers.forked_worker import BATCH, OperationSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.workers.forked import ForkedProcess, ForkedProcesses

_LOG = logging.getLogger("rolerunner.storage")
_FIRST = 96
"""Objects that are begun here before others are asked: most operations are small."""
_AHEAD = 224
"""Objects that a process has at most: enough for its connections, and not much to wait for in the end."""
_LOOK = 0.25
_CHECKED = 1.0
"""Seconds between two looks at whether the processes run."""
_ENDING = 2.0
"""Seconds until a process that was told to stop is ended with force."""


class NoWorkerAvailable(Exception):
    """Nobody has room for a call, or who took it is gone: it is to be done here."""


class _Member:
    """A process, what it has in hand, and a thread that hears what it says."""

    def __init__(self, process: ForkedProcess, hear: Callable[..., None]) -> None:
        self.process = process
        self.objects: dict[Any, Any] = {}
        """By what their outcomes will be called; for the thread that deals alone."""
        self.batch: list[Any] = []
        self.calls: dict[int, Future[Any]] = {}
        self.gone = False
        self._hear = hear
        self._thread = threading.Thread(target=self._listen, daemon=True, name="rolerunner-crew")
        self._thread.start()

    def say(self, *message: Any) -> None:
        """To the process; that it is gone is seen by who listens, once all is heard that it still said."""
        try:
            self.process.channel.send(*message)
        except (
            ChannelClosed
        ):  # or it takes nothing: half a message may have been sent, so it is of no use any more
            self.process.kill()

    def hand_over(self) -> None:
        """Give it the batch."""
        if self.batch:
            self.say("items", self.batch)
            self.batch = []

    def end(self, *, stop: bool) -> bool:
        """Let the operation end there; is the process good for another one?"""
        self.say("stop" if stop else "close")
        self._thread.join(_ENDING)
        if self._thread.is_alive() or self.gone:
            self.process.end()
            return False
        return True

    def _listen(self) -> None:
        try:
            while True:
                kind, *told = self.process.channel.receive()
                if kind == "over":
                    return
                self._hear(self, kind, *told)
        except ChannelClosed:
            self.gone = True
            while self.calls:
                self.calls.popitem()[1].set_exception(NoWorkerAvailable())


class WorkerPool:
    """Whoever helps with an operation, as ``opening`` tells it to them. They are asked when there is enough to do."""

    def __init__(
        self,
        processes: Optional[ForkedProcesses],
        opening: OperationSpec,
        flow: Pacer,
        cancel: Cancel,
    ) -> None:
        self._processes = (
            processes if processes is not None and not flow.is_paced else None
        )  # a pace is kept by one
        self._opening = opening
        self._flow = flow
        self._cancel = cancel
        self._choosing = threading.RLock()
        self._members: Optional[Sequence[_Member]] = None
        self._arrived: deque[tuple[_Member, Sequence[Outcome], Optional[BaseException]]] = deque()
        self._numbers = itertools.count()
        self._checked = time.monotonic()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for member in self._members or ():
            if member.end(stop=kind is not None):
                assert self._processes is not None  # noqa: S101 - it gave them
                self._processes.give_back(member.process)

    def _engaged(self) -> Sequence[_Member]:
        """Those who take part, from the first time on that somebody asks for them."""
        with self._choosing:
            if self._members is None:
                self._members = [
                    member
                    for process in (self._processes.take() if self._processes is not None else ())
                    if (member := self._engage(process))
                ]
                for member in self._members:
                    member.say("open", self._opening)
            return self._members

    def _engage(self, process: ForkedProcess) -> Optional[_Member]:
        """Let a process take part; None where no thread can be started that listens to it."""
        try:
            return _Member(process, self._hear)
        except RuntimeError:
            assert self._processes is not None  # noqa: S101 - it gave the process
            self._processes.give_back(process)
            return None

    def _hear(self, member: _Member, kind: str, *told: Any) -> None:
        """In the thread that listens to the member."""
        if kind == "outcomes":
            outcomes, moved = told
            self._flow.report_bytes(moved)
            if outcomes:
                self._arrived.append((member, outcomes, None))
        elif kind == "failed":
            self._arrived.append((member, (), told[0]))
        elif kind == "lease":
            number, role, token = told
            member.say("lease", number, self._lease(role, token))
        else:
            future = member.calls.pop(told[0])
            if kind == "result":
                future.set_result(told[1])
            else:
                future.set_exception(told[1])

    def _lease(self, role: Any, token: str) -> Any:
        assert self._processes is not None  # noqa: S101 - somebody asked
        try:
            return self._processes.lend(role, token)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            return error

    def _check_members(self) -> None:
        """Look, once in a while, whether a process was stopped: it would say nothing for ever."""
        now = time.monotonic()
        if now - self._checked > _CHECKED:
            self._checked = now
            for member in self._members or ():
                member.process.check()

    # objects

    def dispatch(
        self, items: Iterable[Any], begun: Callable[[Any], Any], name_of: Callable[[Any], Any]
    ) -> Iterator[Any]:
        """What is to be begun here, outcomes that came from elsewhere, and None where there is nothing now.

        ``name_of`` an item is what its outcome will be called; None for one that is to stay here.
        """
        drawn = 0
        for item in items:
            if self._members:
                yield from self._come(begun)
            if item is None or isinstance(item, Outcome):
                yield item
                continue
            drawn += 1
            if drawn <= _FIRST or self._processes is None or not self._deal(name_of(item), item):
                yield begun(item)
        for member in self._members or ():
            member.hand_over()
        while any(member.objects for member in self._members or ()):
            yield from self._come(begun)
            yield None

    def _come(self, begun: Callable[[Any], Any]) -> Iterator[Any]:
        """Outcomes that came meanwhile, and what somebody who is gone has left. Raises what stopped another process."""
        self._check_members()
        gone = [
            member for member in self._members or () if member.gone and member.objects
        ]  # before what they still said
        while self._arrived:
            member, outcomes, error = self._arrived.popleft()
            if error is not None:
                raise error
            for outcome in outcomes:
                member.objects.pop(outcome.uri, None)
                yield outcome
        for member in gone:
            _LOG.warning("a process that helped is gone; what it had in hand is done here")
            left, member.objects, member.batch = list(member.objects.values()), {}, []
            for folder, token in {
                (str(Path(item.target).parent), item.folder.token)
                for item in left
                if isinstance(item, Get) and item.folder
            }:
                remove_temporaries(folder, token, member.process.pid)
            yield from map(begun, map(prepare_retry, left))

    def _deal(self, name: Any, item: Any) -> bool:
        """Give it to who has room, as one of a batch; False where nobody has."""
        for member in self._engaged() if name is not None else ():
            if member.gone or name in member.objects:
                continue
            if len(member.objects) < _AHEAD:
                member.objects[name] = item
                member.batch.append(item)
                if len(member.batch) >= BATCH:
                    member.hand_over()
                return True
            member.hand_over()
        return False

    # parts of large objects

    def call(self, name: str, *arguments: Any, here: int) -> Any:
        """What the storage's method gives in another process, one that has no more to do than ``here`` is done.

        Raises NotTaken, what the method raises, StepError when stopped.
        """
        with self._choosing:
            member = min(
                (each for each in self._engaged() if not each.gone),
                key=lambda each: len(each.calls),
                default=None,
            )
            if member is None or len(member.calls) > here:
                raise NoWorkerAvailable
            number, future = next(self._numbers), Future[Any]()
            member.calls[number] = future
        member.say("call", number, name, *arguments)
        while not wait([future], timeout=_LOOK).done:
            self._cancel.stop_if_set()
            self._check_members()
            if member.gone and number in member.calls:
                raise NoWorkerAvailable
        return future.result()
