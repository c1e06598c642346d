"""Runs work in the background with a timeout; work that does not stop is abandoned."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar, Union

from rolerunner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.actions.base import Action
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import Step

T = TypeVar("T")
GRACE_SECONDS = 3.0
"""Time to stop before work is abandoned: a run that gets a signal ends within five seconds."""
POLL_SECONDS = 0.1
"""Interval at which cancellation is checked; the end of the work is noticed at once."""


class BackgroundWork(Generic[T]):
    """Work in a daemon thread, so that a function that ignores ``cancel`` cannot hold the run."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run_work, daemon=True, name=name)
        self._thread.start()

    def _run_work(self) -> None:
        try:
            self._outcome.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            self._outcome.append(error)

    def wait(self, seconds: float = 0.0) -> bool:
        """Waits up to ``seconds`` for the end of the work. Returns True if it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def has_succeeded(self) -> bool:
        """True if the work has ended without an exception."""
        return bool(self._outcome) and not isinstance(self._outcome[0], BaseException)

    def result_or_raise(self) -> T:
        """Returns what the work returned, or raises what it raised. The work must have ended."""
        outcome = self._outcome[0]
        if isinstance(outcome, BaseException):
            raise outcome
        returned: T = outcome
        return returned


class AbandonedCalls:
    """Calls of this process that could not be stopped. While one runs, it is not made again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[tuple[Step, Action, BackgroundWork[Any]]] = []

    def add(self, step: Step, action: Action, work: BackgroundWork[Any]) -> None:
        """Adds a call that was abandoned."""
        with self._lock:
            self._calls.append((step, action, work))

    def check_ended(self, step: Step, action: Action) -> None:
        """Raises StepError if the same call of the same step still runs."""
        with self._lock:
            self._calls = [call for call in self._calls if not call[2].wait()]
            running = any(
                each.id == step.id and each.mark == step.mark and call == action
                for each, call, _ in self._calls
            )
        if running:
            message = "an earlier call of this step still runs in this process"
            error = StepError(message, hint="end the process, or wait", type="StillRunning")
            error.still_runs = True
            raise error


ABANDONED_CALLS = AbandonedCalls()


def run_with_timeout(
    work: Union[Callable[[], T], BackgroundWork[T]],
    cancel: Cancel,
    seconds: Optional[float],
    grace: Optional[float] = None,
) -> T:
    """Returns what the work returns, or raises what it raises.

    On timeout or cancellation the work is signalled, then abandoned after ``grace`` seconds. Work
    that succeeds within the grace period counts as done. The StepError for abandoned work has
    ``still_runs`` set.
    """
    running = work if isinstance(work, BackgroundWork) else BackgroundWork(work, "rolerunner-work")
    deadline = None if seconds is None else time.monotonic() + seconds
    while not cancel.is_set():
        left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0:
            break
        if running.wait(min(POLL_SECONDS, left)):
            return running.result_or_raise()
    stopped = cancel.is_set()
    cancel.set()
    ended = running.wait(GRACE_SECONDS if grace is None else grace)
    if ended and (stopped or running.has_succeeded):
        return running.result_or_raise()
    raise _timeout_error(seconds, stopped=stopped, still_runs=not ended)


def _timeout_error(seconds: Optional[float], *, stopped: bool, still_runs: bool) -> StepError:
    suffix = "; it does not stop and was abandoned" if still_runs else ""
    if stopped:
        error = StepError(f"stopped before it was done{suffix}", type="Stopped")
    else:
        hint = "raise 'timeout', or give the step less to do"
        error = StepError(f"not done within {seconds:.2g} s{suffix}", hint=hint, type="Timeout")
    error.still_runs = still_runs
    return error
