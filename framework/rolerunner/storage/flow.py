"""How fast a step's requests and bytes may flow, how much memory they may hold, and how far they are."""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.storage.base import Cancel


class _Rate:
    """A token bucket that holds a tenth of a second's worth: an even flow rather than bursts."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def reserve(self, amount: float) -> float:
        """Seconds to wait before so much may go."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - 0.1) + amount / self._per_second
            return max(self._next - amount / self._per_second - now, 0.0)


class Flow:
    """Paces requests and bytes of one step, whatever roles and threads make them, and tells how many bytes went."""

    def __init__(self, *, requests_per_second: Optional[float] = None, bandwidth: Optional[float] = None) -> None:
        self._requests = _Rate(requests_per_second) if requests_per_second else None
        self._bytes = _Rate(bandwidth) if bandwidth else None
        self._rates = requests_per_second, bandwidth
        self._lock = threading.Lock()
        self.shares = 1
        """Among so many processes at once its pace is divided: each that it is pickled for has one share."""
        self.listener: Optional[Callable[[int], None]] = None
        """Told how many bytes more have gone; called from several threads."""

    @property
    def is_paced(self) -> bool:
        """Is there a limit?"""
        return any(self._rates)

    def __reduce__(self) -> tuple[Any, ...]:
        requests, bandwidth = (rate / self.shares if rate else None for rate in self._rates)
        return functools.partial(Flow, requests_per_second=requests, bandwidth=bandwidth), ()

    @property
    def paces_bytes(self) -> bool:
        """Are bytes held back?"""
        return self._bytes is not None

    def request(self, cancel: Optional[Cancel] = None) -> None:
        """Wait until a request more may go."""
        if self._requests is not None:
            _sleep(self._requests.reserve(1), cancel)

    def moved(self, count: int, cancel: Optional[Cancel] = None) -> None:
        """So many bytes more go: wait until they may."""
        if self._bytes is not None:
            _sleep(self._bytes.reserve(count), cancel)
        self.tell(count)

    def tell(self, count: int) -> None:
        """So many bytes more have gone."""
        if self.listener is not None:
            with self._lock:
                self.listener(count)


def _sleep(seconds: float, cancel: Optional[Cancel]) -> None:
    if seconds <= 0:
        return
    if cancel is None:
        time.sleep(seconds)
    else:
        cancel.wait(seconds)


class Memory:
    """Bytes that parts in flight may hold together: who wants more waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._free = threading.Condition()

    def take(self, count: int, cancel: Cancel) -> int:
        """Hold so many bytes, no more than all; gives what ``give`` must be given back. Raises StepError when stopped."""
        count = min(count, self._limit)
        with self._free:
            while self._held + count > self._limit:
                cancel.stop_if_set()
                self._free.wait(0.2)
            self._held += count
        return count

    def give(self, count: int) -> None:
        """Hold them no longer."""
        with self._free:
            self._held -= count
            self._free.notify_all()
