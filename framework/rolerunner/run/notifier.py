"""Passes events to the observers of a run."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from rolerunner.common.json_values import safe_text
from rolerunner.events import Note, RunStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.events import Event, Observer
    from rolerunner.model import Plan

_LOG = logging.getLogger("rolerunner")


class EventNotifier:
    """Notifies observers, one event at a time. A failing observer is logged; the run goes on."""

    def __init__(self, observers: Sequence[Observer], cancel: Cancel) -> None:
        self._observers = observers
        self._cancel = cancel
        self._lock = threading.RLock()
        self.is_closed = False

    def notify(self, event: Event) -> None:
        """Passes the event to each observer, unless the run has finished."""
        with self._lock:
            if self.is_closed:  # abandoned work may still send events
                return
            for observer in self._observers:
                try:
                    observer.notify(event)
                except BaseException as error:  # noqa: BLE001 - an observer may raise anything
                    self._log_failure(observer, event, error)

    def close(self) -> None:
        """Drops all later events."""
        self.is_closed = True

    def _log_failure(self, observer: Observer, event: Event, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt) and _can_be_signal():
            self._cancel.set()
        names = (type(observer).__name__, type(event).__name__)
        with suppress(Exception):  # the log may be what failed
            _LOG.warning("%s failed on %s: %s", *names, safe_text(error))


def _can_be_signal() -> bool:
    """Returns True where Ctrl-C raises KeyboardInterrupt in this thread."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def notify_start(plan: Plan, run_id: str, notify: Callable[[Event], None]) -> None:
    """Notifies that the run starts, and warns of widened session policies."""
    notify(RunStarted(run_id, plan))
    for role, notes in plan.narrowed.items():
        name = f"{role} ({role.step})" if role.step else str(role)
        for note in notes:
            notify(Note("", "warning", f"session policy of {name}: {note}", {}))
