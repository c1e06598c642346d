"""Many cases at once."""

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
    """How all cases ended, in the order of the files. ``seconds`` is wall time."""

    outcomes: tuple[CaseResult, ...]
    left: int
    """How many were not run, since another had failed."""
    seconds: float

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """Those that did not pass."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)


def run_cases(
    cases: Sequence[Case],
    at_once: int,
    *,
    fail_fast: bool = False,
    tell: Callable[[CaseResult], None],
) -> SuiteResult:
    """Run them, ``at_once`` at a time; ``tell`` hears of each as it ends. With ``fail_fast`` none is begun after one has failed."""
    began, stop = time.monotonic(), threading.Event()
    ended: dict[int, CaseResult] = {}
    waiting = list(enumerate(cases))
    running: dict[Future[CaseResult], int] = {}
    with (
        ThreadPoolExecutor(at_once) as pool,
        _stopped_with_us(stop),
    ):  # each case's run is a process; the threads wait for them
        while waiting or running:
            while waiting and len(running) < at_once:
                number, case = waiting.pop(0)
                running[pool.submit(run_case, case, stop)] = number
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = ended[running.pop(future)] = future.result()
                tell(outcome)
                waiting = [] if fail_fast and not outcome.passed else waiting
    return SuiteResult(
        tuple(ended[number] for number in sorted(ended)),
        len(cases) - len(ended),
        time.monotonic() - began,
    )


@contextmanager
def _stopped_with_us(stop: threading.Event) -> Iterator[None]:
    """Whatever ends the block early, Ctrl-C or a signal, ends the runs too."""
    try:
        yield
    except BaseException:
        stop.set()
        raise


def select_cases(cases: Sequence[Case], wanted: Optional[str]) -> list[Case]:
    """Those whose file or name holds the text, in any case of letters."""
    return [case for case in cases if not wanted or wanted.lower() in case.id.lower()]
