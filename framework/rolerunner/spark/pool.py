"""Spark's executors as a pool of workers.

A part of the work is a task; Spark hands tasks to executors, and gives a task whose executor died to another one. Results
come back when a wave of tasks ends, so this machine holds a few waves and no more.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import re
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, TypeVar
from uuid import uuid4

from rolerunner.errors import RolerunnerError, StepError
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.tracebacks import redact_error
from rolerunner.spark.session import find_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rolerunner.common.cancellation import Cancel

T = TypeVar("T")
WAVES_AT_ONCE = 2
"""While the last tasks of a wave run, the first of the next one fill the executors."""
_LOOK = 0.1
"""Seconds between two looks at whether to stop."""


@dataclass(frozen=True)
class SparkTaskRunner:
    """Spark's executors as workers. ``context`` is the SparkContext."""

    context: Any

    def slots(self) -> int:
        """Cores of all executors that are there now."""
        scala = self.context._jsc.sc()  # noqa: SLF001 - Spark tells it to its own barrier tasks alone; parallelism may be set by hand
        try:
            told = scala.maxNumConcurrentTasks(
                scala.resourceProfileManager().defaultResourceProfile()
            )
        except Exception:  # noqa: BLE001 - py4j's error for a method that another Spark does not have
            told = 0
        return max(int(told) or int(self.context.defaultParallelism), 1)

    def run(
        self, waves: Iterable[Sequence[bytes]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Each wave is one Spark job, in a job group of this call's own."""
        run = _Waves(self.context, what)
        with ThreadPoolExecutor(WAVES_AT_ONCE, thread_name_prefix="rolerunner-spark") as threads:
            try:
                for wave in waves:
                    if not wave:
                        yield []
                        continue
                    threads.submit(run.job, wave).add_done_callback(run.ended)
                    run.flying += 1
                    if run.flying >= WAVES_AT_ONCE:
                        yield run.next(cancel)
                while run.flying:
                    yield run.next(cancel)
            finally:
                run.stop()


@dataclass
class _Waves:
    """Jobs that fly at once."""

    context: Any
    what: str
    group: str = field(default_factory=lambda: f"rolerunner-{uuid4().hex[:12]}")
    flying: int = 0
    done: queue.SimpleQueue[Future[list[Any]]] = field(default_factory=queue.SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)

    def job(self, wave: Sequence[bytes]) -> list[Any]:
        """One job, a task for each part; in a thread of its own, to which Spark ties the job group."""
        if self.stopped.is_set():
            return []
        self.context.setJobGroup(self.group, self.what, interruptOnCancel=True)
        results: list[Any] = self.context.parallelize(wave, len(wave)).map(_done).collect()
        return results

    def ended(self, future: Future[list[Any]]) -> None:
        """A job is over, well or not."""
        self.done.put(future)

    def next(self, cancel: Cancel) -> list[Any]:
        """The results of the job that ends next. Raises StepError."""
        while True:
            cancel.stop_if_set()
            try:
                future = self.done.get(timeout=_LOOK)
            except queue.Empty:
                continue
            self.flying -= 1
            return _checked(future)

    def stop(self) -> None:
        """Cancel what still flies. A job that is about to begin may miss one call, so it is made until all are over."""
        self.stopped.set()
        while self.flying:
            with contextlib.suppress(Exception):  # a JVM that is gone has no jobs left
                self.context.cancelJobGroup(self.group)
            try:
                self.done.get(timeout=_LOOK)
            except queue.Empty:
                continue
            self.flying -= 1


def _done(part: bytes) -> Any:
    """In an executor: do a part. What it raises on purpose comes back as a value, for Spark would try it again in vain."""
    from pyspark import TaskContext  # noqa: PLC0415

    task = TaskContext.get()
    try:
        return pickle.loads(part)(task is not None and task.attemptNumber() > 0)  # noqa: S301 - the driver's own
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


def _checked(future: Future[list[Any]]) -> list[Any]:
    try:
        results = future.result()
    except Exception as error:
        reason = find_reason(error)
        raise StepError(
            f"Spark gave the work up: {reason}", hint=_hint(reason), type="SparkFailed"
        ) from error
    failed = next((result for result in results if isinstance(result, StepError)), None)
    if failed is not None:
        raise failed
    return results


def _hint(reason: str) -> str:
    missing: Optional[re.Match[str]] = re.search(r"No module named '([\w.]+)'", reason)
    if missing:
        return f"the executors have no '{missing.group(1)}': in Glue, wheels go into --additional-python-modules, which installs them on all machines"
    if "ExecutorLost" in reason or "exited" in reason:
        return "executors died again and again: the log of one says why; often it is memory, and larger workers help"
    return ""


def run_cancellable(context: Any, cancel: Cancel, what: str, work: Callable[[], T]) -> T:
    """What the work gives; its Spark jobs are cancelled when it is time to stop. Raises StepError then."""
    group = f"rolerunner-{uuid4().hex[:12]}"

    def in_group() -> T:
        context.setJobGroup(group, what, interruptOnCancel=True)
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix="rolerunner-spark") as thread:
        future = thread.submit(in_group)
        while not future.done():
            if cancel.wait(_LOOK):
                context.cancelJobGroup(group)
        cancel.stop_if_set()
        return future.result()
