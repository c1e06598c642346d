"""Parts of one large object as tasks of their own on the workers of a cluster.

This machine creates the upload, divides the object, verifies its checksum and completes the upload,
or aborts it: the engine does so as for a copy of its own. Only the parts are sent elsewhere.
"""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import Copy
from rolerunner.storage.workers.distributed_tasks import pickle_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner

    _WaitingCall = tuple["PartCall", Future[Any]]

SPREAD_BYTES = 256 << 20
"""Smallest object whose parts are tasks of their own."""
PARTS_PER_TASK = 4
"""Parts that a task sends at once, since one connection does not fill a machine's network."""
_TASKS_PER_SLOT = 2
_MAX_PARTS_IN_FLIGHT = 256
"""Each has a thread of this machine, which waits for it."""
_PROGRESS_SECONDS = 1.0
"""Progress is reported as often, also while no part ends."""
_GATHER_SECONDS = 0.02
"""Time to wait for more parts of a task."""


@dataclass(frozen=True)
class PartCall:
    """A call of a transport's method, which sends one part."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class PartResult:
    """The result of a call, or the error that it raised."""

    value: Any = None
    error: Optional[Exception] = None


@dataclass(frozen=True)
class PartTask:
    """Sends some parts at once. ``storages`` are the target and, between two roles, the source."""

    storages: tuple[Storage, ...]
    calls: Sequence[PartCall]

    def __call__(self, again: bool) -> list[PartResult]:
        """Runs the calls. A part that was sent before is replaced by itself."""
        del again
        with ThreadPoolExecutor(len(self.calls)) as threads:
            return list(threads.map(self._run_call, self.calls))

    def _run_call(self, call: PartCall) -> PartResult:
        target, *source = self.storages
        arguments = source if call.name == "relay_part" else ()
        try:
            method = _find_method(target, call.name)
            return PartResult(method(*arguments, *call.arguments, Cancel()))
        except Exception as error:  # noqa: BLE001 - the other machine knows what it means
            return PartResult(error=_make_portable(error))


def _find_method(storage: Any, name: str) -> Callable[..., Any]:
    """Returns the method of the engine's transport, or of boto3's where it has none."""
    transport = getattr(storage, "transport", storage)
    engine = getattr(storage, "fallback", storage)
    method: Callable[..., Any] = getattr(transport, name, None) or getattr(
        engine.boto_transport, name
    )
    return method


def _make_portable(error: Exception) -> Exception:
    """Returns an error that can be sent and holds no secret."""
    text = redact_text(str(error))
    if isinstance(error, StepError):
        redact_error(error)
    elif text != str(error):
        return StepError(text, type=type(error).__name__)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - written a moment ago
    except Exception:  # noqa: BLE001 - whatever an error of a library does not bear
        return StepError(text, type=type(error).__name__)
    return error


class DistributedParts:
    """Sends the parts of one object from the workers of a cluster.

    Threads that call it wait for their part; parts that are called at the same time share a task.
    ``on_bytes`` is called with the bytes of each part that was relayed, and each second with none.
    """

    def __init__(
        self,
        pool: TaskRunner,
        storages: tuple[Storage, ...],
        what: str,
        cancel: Cancel,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._pool = pool
        self._storages = storages
        self._what = what
        self._cancel = cancel
        self._on_bytes = on_bytes
        self._calls: queue.SimpleQueue[Optional[_WaitingCall]] = queue.SimpleQueue()
        slots = pool.slots()
        self.parts_at_once = min(slots * _TASKS_PER_SLOT * PARTS_PER_TASK, _MAX_PARTS_IN_FLIGHT)
        self._tasks = ThreadPoolExecutor(
            -(-self.parts_at_once // PARTS_PER_TASK), thread_name_prefix="rolerunner-parts"
        )
        self._dispatcher = threading.Thread(
            target=self._dispatch_calls, daemon=True, name="rolerunner-dispatch"
        )

    def __enter__(self) -> DistributedParts:
        self._dispatcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.put(None)
        self._dispatcher.join()
        self._tasks.shutdown()

    def call(self, name: str, *arguments: Any, here: int) -> Any:
        """Returns what the method returned in a worker, and raises what it raised there."""
        del here  # the number of calls in this process, which runs none
        future = Future[Any]()
        self._calls.put((PartCall(name, arguments), future))
        value = future.result()
        if name == "relay_part":
            part = next(each for each in arguments if isinstance(each, PartUpload))
            self._on_bytes(part.length)
        return value

    def _dispatch_calls(self) -> None:
        while (first := self._wait_for_call()) is not None:
            gathered = self._gather_calls(first)
            try:
                self._tasks.submit(self._run_task, gathered)
            except RuntimeError:  # no thread can be started; those who called wait for an answer
                self._run_task(gathered)

    def _gather_calls(self, first: _WaitingCall) -> Sequence[_WaitingCall]:
        """Returns the calls of one task: those that come shortly after the first."""
        gathered = [first]
        with suppress(queue.Empty):
            while len(gathered) < PARTS_PER_TASK:
                following = self._calls.get(timeout=_GATHER_SECONDS)
                if following is None:
                    self._calls.put(None)
                    break
                gathered.append(following)
        return gathered

    def _wait_for_call(self) -> Optional[_WaitingCall]:
        while True:
            try:
                return self._calls.get(timeout=_PROGRESS_SECONDS)
            except queue.Empty:
                self._on_bytes(0)

    def _run_task(self, gathered: Sequence[_WaitingCall]) -> None:
        try:
            wave = pickle_tasks([PartTask(self._storages, [call for call, _ in gathered])])
            ((results,),) = self._pool.run([wave], self._cancel, self._what)
        except BaseException as error:  # noqa: BLE001 - raised where the parts are waited for
            for _, future in gathered:
                future.set_exception(error)
            return
        for (_, future), result in zip(gathered, results):
            if result.error is not None:
                future.set_exception(result.error)
            else:
                future.set_result(result.value)


def is_spread(item: Any, method: str, least: int) -> bool:
    """Returns True for a copy of at least ``least`` bytes that goes in parts."""
    if not isinstance(item, Copy) or item.info is None or item.compression is not None:
        return False
    if method == "copy" and item.info.size < item.large:
        return False
    return method in ("copy", "relay") and item.info.size >= least


def is_begun(item: Any) -> bool:
    """Returns True for a copy of which an earlier attempt has stored parts."""
    return (
        isinstance(item, Copy)
        and item.journal is not None
        and item.journal.find(str(item.target)) is not None
    )


def choose_spread_size(total: int, slots: int) -> int:
    """Returns the bytes from which an object is spread: more than a fair share of all bytes.

    Many objects of one size keep all workers busy as they are.
    """
    return max(SPREAD_BYTES, total // (4 * slots))
