"""Runs cases in parallel."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from rolerunner.spec_testing.run import CaseResult, run_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rolerunner.spec_testing.case import Case


@dataclass(frozen=True)
class SuiteResult:
    """The results of all cases, in the order of the files; ``seconds`` is wall time."""

    outcomes: tuple[CaseResult, ...]
    left: int
    """Number of cases that were not run after a failure."""
    seconds: float

    @property
    def failures(self) -> tuple[CaseResult, ...]:
        """The cases that failed."""
        return tuple(outcome for outcome in self.outcomes if not outcome.has_passed)


def run_cases(
    cases: Sequence[Case],
    at_once: int,
    *,
    fail_fast: bool = False,
    tell: Callable[[CaseResult], None],
) -> SuiteResult:
    """Runs cases, ``at_once`` at a time, and passes each result to ``tell``.

    With ``fail_fast``, no case starts after a failure.
    """
    began, stop = time.monotonic(), threading.Event()
    ended: dict[int, CaseResult] = {}
    waiting = list(enumerate(cases))
    running: dict[Future[CaseResult], int] = {}
    with (
        ThreadPoolExecutor(at_once) as pool,
        _stop_on_exit(stop),
    ):  # each case's run is a process; the threads wait for them
        while waiting or running:
            while waiting and len(running) < at_once:
                number, case = waiting.pop(0)
                running[pool.submit(run_case, case, stop)] = number
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = ended[running.pop(future)] = future.result()
                tell(outcome)
                waiting = [] if fail_fast and not outcome.has_passed else waiting
    return SuiteResult(
        tuple(ended[number] for number in sorted(ended)),
        len(cases) - len(ended),
        time.monotonic() - began,
    )


@contextmanager
def _stop_on_exit(stop: threading.Event) -> Iterator[None]:
    """Stops the runs if the block ends early, by Ctrl-C or a signal."""
    try:
        yield
    except BaseException:
        stop.set()
        raise


def select_cases(cases: Sequence[Case], wanted: Optional[str]) -> list[Case]:
    """Returns the cases whose file or name contains the text, ignoring case."""
    return [case for case in cases if not wanted or wanted.lower() in case.id.lower()]
