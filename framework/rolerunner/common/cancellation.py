"""The signal that stops an operation before it is done."""

from __future__ import annotations

import threading
import time
from typing import Optional

from rolerunner.errors import StepError

_POLL_SECONDS = 0.1
"""Longest time that passes before a signal notices that its parent is set."""


class Cancel:
    """A signal that stops an operation, checked between objects and between blocks of one.

    It counts as set when its ``parent`` is set.
    """

    def __init__(self, parent: Optional[Cancel] = None) -> None:
        self._event = threading.Event()
        self._set = False
        self._parent = parent
        self.expired = ""
        """Why there is no time left; empty if the operation was stopped for another reason."""

    def set(self) -> None:
        """Stops the operation."""
        self._set = True
        self._event.set()

    def expire(self, reason: str) -> None:
        """Stops the operation because there is no time left."""
        self.expired = reason
        self.set()

    def is_set(self) -> bool:
        """Returns True once the operation has to stop."""
        return self._set or (self._parent is not None and self._parent.is_set())

    def stop_if_set(self) -> None:
        """Raises StepError if the operation has to stop."""
        if self.is_set():
            raise StepError("stopped before it was done", type="Stopped")

    def wait(self, seconds: float) -> bool:
        """Sleeps for so long, or until the operation has to stop; returns True in that case."""
        deadline = time.monotonic() + seconds
        while not self.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._event.wait(min(left, _POLL_SECONDS if self._parent is not None else left))
        return True
