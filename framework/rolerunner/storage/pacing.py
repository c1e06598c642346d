"""Limits a step's requests, bandwidth and memory, and reports progress."""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.common.cancellation import Cancel


class _Rate:
    """A token bucket for a tenth of a second, which avoids bursts. It is empty at first."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._paid: Optional[float] = None
        """The time at which the bucket is balanced."""
        self._lock = threading.Lock()

    def before(self, amount: float) -> float:
        """Returns the seconds until the amount is available."""
        return self._reserve_time(amount)[1]

    def after(self, amount: float) -> float:
        """Returns the seconds until earlier amounts are balanced and this one may be used."""
        return self._reserve_time(amount)[0]

    def _reserve_time(self, amount: float) -> tuple[float, float]:
        with self._lock:
            now = time.monotonic()
            begin = now if self._paid is None else max(self._paid, now - 0.1)
            self._paid = begin + amount / self._per_second
            return max(begin - now, 0.0), max(self._paid - now, 0.0)


_LOG = logging.getLogger("rolerunner.storage")
_MEASURED_REQUESTS = 64
"""Requests between two measurements of the request rate."""
_BURST = 0.05
"""Seconds of requests that may be sent at once, since a loop checks only now and then."""
_MAX_WAIT = 1.0
"""Longest wait in seconds before the rate is checked again."""
_RECOVERY_SECONDS, _FULL_RECOVERY_SECONDS = 5.0, 10.0
"""Seconds without a refusal until the rate that was refused is reached, and until the rate before
the first refusal.
"""
_MIN_RATE = 2.0
"""Minimum number of requests a second: each of them backs off by itself if refused."""
_REDUCTION_INTERVAL = 0.2
"""Seconds between two reductions of the rate: many refusals at once count as one."""


class AdaptiveThrottle:
    """Reduces the request rate of a step while the server responds with SlowDown.

    Additive increase, multiplicative decrease: the rate is halved after a refusal, reaches the
    refused rate within five seconds, and the rate before the first refusal within ten, after which
    it is unlimited. Prior art: TCP's congestion avoidance, the AWS SDKs' adaptive retry mode.
    Thread-safe.
    """

    def __init__(self) -> None:
        self.era = 0
        """Number of reductions. A refusal of a request from an earlier era does not count."""
        self._usual = self._too_many = 0.0
        self._since = self._next = self._turn = 0.0
        self._went = 0
        self._marked = self._before = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Counts a request and returns 0 if it may be sent now; otherwise returns the wait."""
        if not self._too_many:
            self._count_request()
            return 0.0
        with self._lock:
            now = time.monotonic()
            rate = self._rate_at(now)
            if now - self._since > _FULL_RECOVERY_SECONDS:
                self._too_many = 0.0
            elif self._next > now:
                self._turn = (
                    max(self._turn, self._next) + 1 / rate
                )  # waiting requests return one after the other
                if self._turn > now + _MAX_WAIT:
                    self._turn = now + _MAX_WAIT
                    return _MAX_WAIT * random.uniform(0.5, 1)
                return self._turn - now
            self._next = max(self._next, now - _BURST) + 1 / rate
            self._count_request()
            return 0.0

    def on_refused(self, era: int) -> None:
        """Handles a refusal of a request that was sent in this era."""
        with self._lock:
            now = time.monotonic()
            if era != self.era or now - self._since < _REDUCTION_INTERVAL:
                return
            measured = (
                _MEASURED_REQUESTS + self._went % _MEASURED_REQUESTS
                if self._went >= _MEASURED_REQUESTS
                else self._went
            ) / max(now - self._before, 0.001)
            if not self._too_many:
                self._usual = self._too_many = max(measured, _MIN_RATE * 2)
            self._too_many = max(min(self._rate_at(now), measured), _MIN_RATE * 2)
            self.era += 1
            self._since = self._next = self._turn = now
        if era == 0:
            _LOG.warning(
                "the server throttles requests: reducing the rate to %.0f requests a "
                "second at first",
                self._rate_at(now),
            )

    def _rate_at(self, now: float) -> float:
        past = min(now - self._since, _FULL_RECOVERY_SECONDS)
        if past < _RECOVERY_SECONDS:
            return self._too_many * (0.5 + 0.5 * past / _RECOVERY_SECONDS)
        return float(
            self._too_many
            * (self._usual / self._too_many)
            ** ((past - _RECOVERY_SECONDS) / (_FULL_RECOVERY_SECONDS - _RECOVERY_SECONDS))
        )

    def _count_request(self) -> None:
        self._went += 1
        if self._went % _MEASURED_REQUESTS == 0:
            self._before, self._marked = self._marked, time.monotonic()


class Pacer:
    """Limits the requests and bandwidth of one step, and reports transferred bytes."""

    def __init__(
        self, *, requests_per_second: Optional[float] = None, bandwidth: Optional[float] = None
    ) -> None:
        self._requests = _Rate(requests_per_second) if requests_per_second else None
        self._bytes = _Rate(bandwidth) if bandwidth else None
        self._rates = requests_per_second, bandwidth
        self._lock = threading.Lock()
        self.throttle = AdaptiveThrottle()
        """The limit that the server imposes."""
        self.shares = 1
        """Number of processes among which the rates are divided: each pickled copy has one share.
        """
        self.on_bytes: Optional[Callable[[int], None]] = None
        """Called with the number of bytes transferred, from several threads."""

    @property
    def is_paced(self) -> bool:
        """True if there is a limit."""
        return any(self._rates)

    def __reduce__(self) -> tuple[Any, ...]:
        requests, bandwidth = (rate / self.shares if rate else None for rate in self._rates)
        return functools.partial(Pacer, requests_per_second=requests, bandwidth=bandwidth), ()

    @property
    def paces_bytes(self) -> bool:
        """True if bandwidth is limited."""
        return self._bytes is not None

    def pace_request(self, cancel: Optional[Cancel] = None) -> None:
        """Waits until another request may be sent."""
        if self._requests is not None:
            _wait_seconds(self._requests.after(1), cancel)

    def pace_bytes(self, count: int, cancel: Optional[Cancel] = None) -> None:
        """Waits until so many bytes may be transferred, and reports them."""
        if self._bytes is not None:
            _wait_seconds(self._bytes.before(count), cancel)
        self.report_bytes(count)

    def report_bytes(self, count: int) -> None:
        """Reports so many transferred bytes."""
        if self.on_bytes is not None:
            with self._lock:
                self.on_bytes(count)


def _wait_seconds(seconds: float, cancel: Optional[Cancel]) -> None:
    if seconds <= 0:
        return
    if cancel is None:
        time.sleep(seconds)
    else:
        cancel.wait(seconds)


class ByteBudget:
    """The memory that parts in flight may hold together, in bytes. Acquiring more waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._free = threading.Condition()

    def acquire(self, count: int, cancel: Cancel) -> int:
        """Acquires bytes, at most the limit, and returns the number to release.

        Raises StepError on cancellation.
        """
        count = min(count, self._limit)
        with self._free:
            while self._held + count > self._limit:
                cancel.stop_if_set()
                self._free.wait(0.2)
            self._held += count
        return count

    def release(self, count: int) -> None:
        """Releases acquired bytes."""
        with self._free:
            self._held -= count
            self._free.notify_all()
