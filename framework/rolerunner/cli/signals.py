"""Signals of a command: those that stop a run, and what a launcher left behind."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from rolerunner.cli.common import echo
from rolerunner.observers.streams import flush_standard_streams, stop_waiting_for_readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.common.cancellation import Cancel

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)
"""Sent to all processes of a terminal; ``nohup`` and a script's ``&`` have them ignored."""
_BASE = 128
"""Added to a signal's number for the exit status, as shells do."""
_SAME_SECONDS = 0.3
"""Time in which signals count as one: a terminal signals the launcher, which forwards it, too."""


class StopSignals:
    """Turns the first signal into the end of a run; a second one ends the process at once."""

    def __init__(self, cancel: Cancel) -> None:
        self._cancel = cancel
        self._received_at = 0.0
        self._is_begun = False
        self.received = 0
        """Number of the first signal; 0 if there was none."""

    def begin_run(self) -> None:
        """From here on, a signal cancels the run instead of raising KeyboardInterrupt."""
        self._is_begun = True

    def handle(self, number: int, frame: object) -> None:
        """Handles a signal, in the main thread."""
        del frame
        now = time.monotonic()
        if self.received:
            if now - self._received_at > _SAME_SECONDS:
                os._exit(_BASE + number)
            return
        self.received, self._received_at = number, now
        stop_waiting_for_readers()
        self._cancel.set()
        if not self._is_begun:  # a spec or a sandbox may take long to come
            raise KeyboardInterrupt(
                f"stopped by {signal.Signals(number).name} before the run began"
            )

    def exit_if_received(self) -> None:
        """Exits with the status of the signal, if there was one."""
        if self.received:
            exit_now(_BASE + self.received)


@contextmanager
def stop_on_signals(cancel: Cancel) -> Iterator[StopSignals]:
    """Cancels the run on SIGINT, SIGTERM and SIGHUP, and exits if it had not begun."""
    signals = StopSignals(cancel)
    try:
        with handle_signals(signals.handle):
            yield signals
    except KeyboardInterrupt as error:
        if signals.received:
            echo(f"rolerunner: {error}", err=True)
        signals.exit_if_received()
        raise


@contextmanager
def handle_signals(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Calls ``handler`` on SIGINT, SIGTERM and SIGHUP, unless the launcher has them ignored."""
    _reset_inherited_signals()
    numbers = [number for number in _STOPPING if not _is_ignored(number)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _is_ignored(number: int) -> bool:
    """Returns True for a signal that the launcher wants ignored; SIGTERM is always meant for us."""
    return number in _OF_TERMINALS and signal.getsignal(number) is signal.SIG_IGN


def _reset_inherited_signals() -> None:
    """Undoes what a launcher may have done to signals that the command relies on.

    Blocked signals would never stop it. With SIGCHLD ignored, the exit status of a child is lost,
    and subprocess takes a failed one for success.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def exit_now(status: int) -> NoReturn:
    """Exits at once; a thread that hangs in a function or a request would block a normal exit."""
    flush_standard_streams()
    os._exit(status)
