"""Waits for work that a service does for a step, and stops it if the step ends before it."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.actions.base import StepContext

_FIRST_INTERVAL = 0.25
_GROWTH = 1.5
_JITTER = 0.2
"""Polls vary by this share of the interval, so that many jobs do not poll at once."""


def iter_growing_polls(context: StepContext, interval: float, max_wait: float) -> Iterator[int]:
    """Yields the number of each poll, from 1, less and less often up to every ``interval`` seconds.

    Ends after ``max_wait`` seconds. Raises StepError when the run is stopped.
    """
    deadline = time.monotonic() + max_wait
    pause = min(_FIRST_INTERVAL, interval)
    number = 1
    while True:
        yield number
        left = deadline - time.monotonic()
        if left <= 0:
            return
        context.cancel.wait(min(left, pause * random.uniform(1 - _JITTER, 1 + _JITTER)))
        context.cancel.stop_if_set()
        pause, number = min(pause * _GROWTH, interval), number + 1


@contextmanager
def stop_unless_done(context: StepContext, what: str, stop: Callable[[], object]) -> Iterator[None]:
    """Calls ``stop`` if the block raises, since nobody waits for the work then.

    The note about the work is removed. A failure of ``stop`` is a warning; ``what`` names the work.
    """
    try:
        yield
    except BaseException:
        try:
            stop()
        except StepError as error:
            values = {"reason": error.message}
            context.note("warning", f"{what} could not be stopped, and may still go on", values)
        else:
            context.note("info", f"{what} was stopped", {})
        forget_work(context)
        raise


def forget_work(context: StepContext) -> None:
    """Removes the note about the work; a state that cannot be written is a warning."""
    if context.started_work is None:
        return
    try:
        context.started_work.clear()
    except StepError as error:
        values = {"reason": error.message}
        context.note("warning", "the state still names work that has ended", values)


def read_started_work(context: StepContext) -> str:
    """Returns the note about work that an attempt or an earlier run started; empty if none."""
    return "" if context.started_work is None else context.started_work.read()


def note_started_work(context: StepContext, text: str) -> None:
    """Notes what finds the work again. Raises StepError if the state cannot be written."""
    if context.started_work is not None:
        context.started_work.write(text)


def wait_error(what: str, state: str, max_wait: float) -> StepError:
    """Returns the error of work that did not end in time."""
    return StepError(
        f"{what} is {state} after {max_wait:g} s",
        hint="raise 'max_wait', or find out what delays it",
        type="WaitTimeout",
    )


def shorten_text(text: object, limit: int = 2000) -> Optional[str]:
    """Returns a service's message, cut off after ``limit`` characters; None if it is empty."""
    message = str(text or "").strip()
    return (message if len(message) <= limit else f"{message[:limit]}...") or None
