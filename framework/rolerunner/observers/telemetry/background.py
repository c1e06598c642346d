"""Sends telemetry to a server from a thread of its own, so that the run never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Optional

from rolerunner.common.json_values import safe_text
from rolerunner.redaction.redact import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAIT_SECONDS = 10.0
"""Time that the end of a run waits for what has not been sent."""
_MAX_QUEUED = 10_000
"""Requests that wait at the same time; each holds a few KB."""
_LOG = logging.getLogger("rolerunner")


class BackgroundSender:
    """Calls functions that send, one after the other. What cannot be sent becomes one warning."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._queue: queue.Queue[Optional[Callable[[], None]]] = queue.Queue(_MAX_QUEUED)
        self._thread: Optional[threading.Thread] = None
        self._is_closed = threading.Event()
        self._submitted = self._sent = 0
        self._reason = ""

    def submit(self, send: Callable[[], None]) -> None:
        """Adds a function that sends something, and raises if it cannot. Never blocks."""
        self._submitted += 1
        if self._thread is None:  # not earlier: processes are forked while there is one thread
            self._thread = threading.Thread(
                target=self._send_queued, name=f"rolerunner-{self._what}", daemon=True
            )
            self._thread.start()
        try:
            self._queue.put_nowait(send)
        except queue.Full:
            self._reason = self._reason or "the server is too slow"

    def close(self, max_wait: float = MAX_WAIT_SECONDS) -> None:
        """Waits for the rest to be sent, for a bounded time, and warns of what was not."""
        if self._thread is None:
            return
        until = time.monotonic() + max_wait
        with suppress(queue.Full):
            self._queue.put(None, timeout=max_wait)
        self._thread.join(max(until - time.monotonic(), 0))
        self._is_closed.set()
        lost = self._submitted - self._sent
        if lost:
            _LOG.warning(
                "%s: %d of %d could not be sent: %s",
                self._what,
                lost,
                self._submitted,
                self._reason or f"the server did not answer within {max_wait:g} s",
            )

    def _send_queued(self) -> None:
        while not self._is_closed.is_set():
            send = self._queue.get()
            if send is None:
                return
            try:
                send()
                self._sent += 1
            except Exception as error:  # noqa: BLE001 - telemetry never fails a run
                self._reason = redact_text(safe_text(f"{type(error).__name__}: {error}"))
