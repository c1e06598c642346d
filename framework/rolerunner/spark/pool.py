"""Runs distributed tasks on Spark's executors.

Spark runs a task again on another executor if the first one dies. Results arrive when a wave of
tasks ends, so this machine holds the results of a few waves.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import re
import threading
import traceback
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, TypeVar
from uuid import uuid4

from rolerunner.errors import RolerunnerError, StepError
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.spark.session import find_reason
from rolerunner.spark.worker import spare_worker
from rolerunner.storage.workers.protocol import count_waves_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rolerunner.common.cancellation import Cancel

T = TypeVar("T")
_POLL_SECONDS = 0.1
_LEVEL = 1
"""zlib's fastest level. Spark's JVMs spend some 0.2 seconds of CPU time on a megabyte of tasks or
results."""


@dataclass(frozen=True)
class SparkTaskRunner:
    """Runs tasks on Spark's executors. ``context`` is the SparkContext."""

    context: Any

    def slots(self) -> int:
        """Returns the number of cores of all current executors."""
        scala = self.context._jsc.sc()  # noqa: SLF001 - no public API; parallelism may be configured
        try:
            slots = scala.maxNumConcurrentTasks(
                scala.resourceProfileManager().defaultResourceProfile()
            )
        except Exception:  # noqa: BLE001 - py4j's error for a method that another Spark does not have
            slots = 0
        return max(int(slots) or int(self.context.defaultParallelism), 1)

    def run(
        self, waves: Iterable[Optional[Sequence[bytes]]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Runs each wave as a Spark job, in a job group of its own."""
        run = _JobGroup(self.context, what)
        at_once = count_waves_at_once(self.slots())
        with ThreadPoolExecutor(at_once, thread_name_prefix="rolerunner-spark") as threads:
            try:
                for wave in waves:
                    if not wave:
                        yield run.wait_for_results(cancel) if wave is None else []
                        continue
                    packed = [zlib.compress(task, _LEVEL) for task in wave]
                    threads.submit(run.run_wave, packed).add_done_callback(run.on_wave_ended)
                    run.in_flight += 1
                    if run.in_flight >= at_once:
                        yield run.wait_for_results(cancel)
                while run.in_flight:
                    yield run.wait_for_results(cancel)
            finally:
                run.cancel_jobs()


@dataclass
class _JobGroup:
    """The Spark jobs of one call."""

    context: Any
    what: str
    group: str = field(default_factory=lambda: f"rolerunner-{uuid4().hex[:12]}")
    in_flight: int = 0
    done: queue.SimpleQueue[Future[list[Any]]] = field(default_factory=queue.SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run_wave(self, packed: Sequence[bytes]) -> list[Any]:
        """Runs one job, in a thread of its own, to which Spark binds the job group."""
        if self.stopped.is_set():
            return []
        self.context.setJobGroup(self.group, self.what, interruptOnCancel=True)
        results = self.context.parallelize(packed, len(packed)).map(_run_packed).collect()
        return [_unpack(result) for result in results]

    def on_wave_ended(self, future: Future[list[Any]]) -> None:
        """Records that a job has succeeded or failed."""
        self.done.put(future)

    def wait_for_results(self, cancel: Cancel) -> list[Any]:
        """Returns the results of the job that ends next. Raises StepError."""
        while True:
            cancel.stop_if_set()
            try:
                future = self.done.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            self.in_flight -= 1
            return _get_results(future)

    def cancel_jobs(self) -> None:
        """Cancels running jobs until all have ended: a job that is starting may miss one call."""
        self.stopped.set()
        while self.in_flight:
            with contextlib.suppress(Exception):  # the JVM may be gone
                self.context.cancelJobGroup(self.group)
            try:
                self.done.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            self.in_flight -= 1


def _run_packed(part: bytes) -> bytes:
    """Runs a task in an executor, and packs its result as the task was packed."""
    try:
        return zlib.compress(pickle.dumps(_run_task(part)), _LEVEL)
    finally:
        spare_worker()


def _unpack(part: bytes) -> Any:
    return pickle.loads(zlib.decompress(part))  # noqa: S301 - pickled by this project


def _run_task(part: bytes) -> Any:
    """Runs a task in an executor.

    Expected errors are returned as values, since Spark would retry the task in vain.
    """
    from pyspark import TaskContext  # noqa: PLC0415

    task = TaskContext.get()
    try:
        return _unpack(part)(task is not None and task.attemptNumber() > 0)
    except StepError as error:
        redact_error(error)
        return error
    except RolerunnerError as error:
        return StepError(redact_text(str(error)), type=type(error).__name__)
    except Exception:
        text = traceback.format_exc()
        if redact_text(text) != text:  # Spark shows and stores it
            raise RuntimeError(redact_text(text)) from None
        raise


def _get_results(future: Future[list[Any]]) -> list[Any]:
    try:
        results = future.result()
    except Exception as error:
        reason = find_reason(error)
        raise StepError(
            f"the Spark job failed: {reason}", hint=_find_hint(reason), type="SparkFailed"
        ) from error
    failed = next((result for result in results if isinstance(result, StepError)), None)
    if failed is not None:
        raise failed
    return results


def _find_hint(reason: str) -> str:
    missing: Optional[re.Match[str]] = re.search(r"No module named '([\w.]+)'", reason)
    if missing:
        return (
            f"the executors have no '{missing.group(1)}': in Glue, wheels go into "
            "--additional-python-modules, which installs them on all machines"
        )
    if "ExecutorLost" in reason or "exited" in reason:
        return (
            "executors died repeatedly: their logs contain the reason; if it is memory, "
            "use larger workers"
        )
    return ""


def run_cancellable(context: Any, cancel: Cancel, what: str, work: Callable[[], T]) -> T:
    """Returns the result of ``work``.

    Its Spark jobs are cancelled on cancellation, which raises StepError.
    """
    group = f"rolerunner-{uuid4().hex[:12]}"

    def in_group() -> T:
        context.setJobGroup(group, what, interruptOnCancel=True)
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix="rolerunner-spark") as thread:
        future = thread.submit(in_group)
        while not future.done():
            if cancel.wait(_POLL_SECONDS):
                context.cancelJobGroup(group)
        cancel.stop_if_set()
        return future.result()
