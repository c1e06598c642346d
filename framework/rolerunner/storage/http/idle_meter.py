"""Measures whether the event loop is idle while requests wait for a connection."""

from __future__ import annotations

import time

IDLE_WINDOW = 0.004
"""Seconds over which idleness is measured."""


class IdleMeter:
    """Sums up the time that the loop waits for events."""

    def __init__(self) -> None:
        self._window_start = time.monotonic()
        self._idle_seconds = 0.0

    def measure(self, before: float) -> bool:
        """Adds the wait since ``before``.

        Returns True at the end of a window in which the loop was idle most of the time.
        """
        now = time.monotonic()
        self._idle_seconds += now - before
        window = now - self._window_start
        if window < IDLE_WINDOW:
            return False
        is_idle = self._idle_seconds > window / 2
        self._window_start, self._idle_seconds = now, 0.0
        return is_idle
