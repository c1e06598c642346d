"""The errors of Spark jobs: the line of a long Java error that names the cause, and a hint."""

from __future__ import annotations

import pickle
import threading
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.spark.pool import SparkTaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ABORTED = (
    "Job aborted due to stage failure: Task 0 in stage 0.0 failed 4 times, most recent failure: "
)
PYTHON = "org.apache.spark.api.python"
RAISED = f"""{ABORTED}Lost task 0.3 in stage 0.0 (TID 3) (10.0.0.1 executor 1): \
{PYTHON}.PythonException: Traceback (most recent call last):
  File "pool.py", line 122, in _done
    return pickle.loads(part)(again)
{{raised}}

\tat {PYTHON}.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:572)

Driver stacktrace:
\tat Some.Error: here"""
LOST = (
    f"{ABORTED}Lost task 0.3 in stage 0.0 (TID 3) (10.0.0.1 executor 1): ExecutorLostFailure "
    "(executor 1 exited caused by one of the running tasks)\n"
    "Driver stacktrace:"
)


class JavaError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__("An error occurred while calling o1.collect")
        self.java_exception = SimpleNamespace(getMessage=lambda: text)


class Context:
    """A SparkContext whose jobs do as they are told, and which notes what is asked of it."""

    defaultParallelism = 3  # noqa: N815 - Spark's own name

    def __init__(self, collect: Callable[[list[Any]], list[Any]]) -> None:
        self.collect = collect
        self.cancelled = threading.Event()
        self.groups: set[str] = set()
        self._jsc = SimpleNamespace(sc=SimpleNamespace)  # a Spark that does not tell its slots

    def setJobGroup(self, group: str, what: str, interruptOnCancel: bool) -> None:  # noqa: N802, N803 - Spark's own names
        self.groups.add(group)

    def cancelJobGroup(self, group: str) -> None:  # noqa: N802
        assert group in self.groups
        self.cancelled.set()

    def parallelize(self, wave: list[Any], count: int) -> Any:
        assert count == len(wave)
        wave = [zlib.decompress(task) for task in wave]

        def collect() -> list[bytes]:
            return [zlib.compress(pickle.dumps(result)) for result in self.collect(wave)]

        return SimpleNamespace(map=lambda _: SimpleNamespace(collect=collect))


def run(
    collect: Callable[[list[Any]], list[Any]], cancel: Cancel | None = None, waves: int = 1
) -> list[Any]:
    return list(
        SparkTaskRunner(Context(collect)).run([[b"part"]] * waves, cancel or Cancel(), "work")
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            RAISED.format(raised="RuntimeError: a bug"),
            "the Spark job failed: RuntimeError: a bug",
            "",
        ),
        (
            RAISED.format(raised="ModuleNotFoundError: No module named 'jobs.own'"),
            "No module named 'jobs.own'",
            "--additional-python-modules",
        ),
        (
            LOST,
            "Lost task 0.3 in stage 0.0 (TID 3) (10.0.0.1 executor 1): ExecutorLostFailure",
            "larger workers",
        ),
    ],
)
def test_the_line_that_says_why(text: str, message: str, hint: str) -> None:
    def fail(_: list[Any]) -> list[Any]:
        raise JavaError(text)

    with pytest.raises(StepError) as caught:
        run(fail)
    assert caught.value.type == "SparkFailed"
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_what_a_part_raised_is_raised_here() -> None:
    with pytest.raises(StepError, match="refused"):
        run(lambda _: [1, StepError("refused"), 2])


def test_waves_fly_two_at_a_time_and_all_come_back() -> None:
    flying: list[int] = []
    now = threading.Semaphore(2)

    def collect(wave: list[Any]) -> list[Any]:
        assert now.acquire(blocking=False)
        flying.append(1)
        now.release()
        return [*wave]

    assert run(collect, waves=20) == [[b"part"]] * 20
    assert len(flying) == 20
    assert SparkTaskRunner(Context(collect)).slots() == 3


def test_a_wave_that_depends_on_results_waits_for_them() -> None:
    results: list[Any] = []

    def create_waves() -> Iterator[list[bytes] | None]:
        yield [b"part"]
        while not results:
            yield None

    runner = SparkTaskRunner(Context(lambda wave: [*wave]))
    for result in runner.run(create_waves(), Cancel(), "work"):
        results.append(result)
    assert results == [[b"part"]]


def test_a_stop_cancels_the_jobs_and_waits_for_none() -> None:
    cancel = Cancel()

    def collect(_: object) -> list[bool]:
        cancel.set()
        return [context.cancelled.wait(20)]

    context = Context(collect)
    with pytest.raises(StepError, match="stopped"):
        list(SparkTaskRunner(context).run([[b"part"]] * 5, cancel, "work"))
    assert context.cancelled.is_set()
