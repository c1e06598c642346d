"""How fast a step's requests and bytes may flow, how much memory they may hold, and how far they are."""

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
    """A token bucket that holds a tenth of a second's worth: an even flow rather than bursts. It is empty at the first call."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._paid: Optional[float] = None
        """The moment at which all that has gone so far will be paid for."""
        self._lock = threading.Lock()

    def before(self, amount: float) -> float:
        """Seconds until so much has come together: it may not go before."""
        return self._reserve(amount)[1]

    def after(self, amount: float) -> float:
        """Seconds until what went before is paid for: then so much more may go at once."""
        return self._reserve(amount)[0]

    def _reserve(self, amount: float) -> tuple[float, float]:
        with self._lock:
            now = time.monotonic()
            begin = now if self._paid is None else max(self._paid, now - 0.1)
            self._paid = begin + amount / self._per_second
            return max(begin - now, 0.0), max(self._paid - now, 0.0)


_LOG = logging.getLogger("rolerunner.storage")
_MARK = 64
"""Requests between two looks at the time, by which it is known how many go a second."""
_BURST = 0.05
"""Seconds whose worth of requests may go at once: a loop looks here and there."""
_AFRESH = 1.0
"""Seconds after which one that waits looks again, by when all may be different."""
_REGAINED, _USUAL = 5.0, 10.0
"""Seconds without a refusal after which as many requests go as were too many; and as many as before the first refusal, or as there are."""
_LEAST = 2.0
"""Requests a second that always go: each of them, refused, waits longer and longer by itself."""
_APART = 0.2
"""Seconds between two steps down: a storm of refusals is one piece of news."""


class AdaptiveThrottle:
    """Holds the requests of a step back together while the server says SlowDown, so that not each has to be refused to find out.

    Additive increase, multiplicative decrease, of requests a second: half of those that were too many; within five seconds
    as many again; within ten, by ever larger steps, as many as went before the first refusal, from when on nobody is held
    back. Prior art: TCP's congestion avoidance, the AWS SDKs' adaptive retry mode. Safe for several threads.
    """

    def __init__(self) -> None:
        self.era = 0
        """How often it became slower. A refusal of a request from before says nothing new."""
        self._usual = self._too_many = 0.0
        self._since = self._next = self._turn = 0.0
        self._went = 0
        self._marked = self._before = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """0 where a request goes now, which is counted; else the seconds after which to ask again."""
        if not self._too_many:
            self._count()
            return 0.0
        with self._lock:
            now = time.monotonic()
            rate = self._rate_at(now)
            if now - self._since > _USUAL:
                self._too_many = 0.0
            elif self._next > now:
                self._turn = (
                    max(self._turn, self._next) + 1 / rate
                )  # those that wait come back one after the other
                if self._turn > now + _AFRESH:
                    self._turn = now + _AFRESH
                    return _AFRESH * random.uniform(0.5, 1)
                return self._turn - now
            self._next = max(self._next, now - _BURST) + 1 / rate
            self._count()
            return 0.0

    def refused(self, era: int) -> None:
        """The server says that it is too much, to a request that was sent in this era."""
        with self._lock:
            now = time.monotonic()
            if era != self.era or now - self._since < _APART:
                return
            measured = (_MARK + self._went % _MARK if self._went >= _MARK else self._went) / max(
                now - self._before, 0.001
            )
            if not self._too_many:
                self._usual = self._too_many = max(measured, _LEAST * 2)
            self._too_many = max(min(self._rate_at(now), measured), _LEAST * 2)
            self.era += 1
            self._since = self._next = self._turn = now
        if era == 0:
            _LOG.warning(
                "the server says SlowDown: requests are held back, to %.0f a second at first",
                self._rate_at(now),
            )

    def _rate_at(self, now: float) -> float:
        past = min(now - self._since, _USUAL)
        if past < _REGAINED:
            return self._too_many * (0.5 + 0.5 * past / _REGAINED)
        return float(
            self._too_many
            * (self._usual / self._too_many) ** ((past - _REGAINED) / (_USUAL - _REGAINED))
        )

    def _count(self) -> None:
        self._went += 1
        if self._went % _MARK == 0:
            self._before, self._marked = self._marked, time.monotonic()


class Pacer:
    """Paces requests and bytes of one step, whatever roles and threads make them, and tells how many bytes went."""

    def __init__(
        self, *, requests_per_second: Optional[float] = None, bandwidth: Optional[float] = None
    ) -> None:
        self._requests = _Rate(requests_per_second) if requests_per_second else None
        self._bytes = _Rate(bandwidth) if bandwidth else None
        self._rates = requests_per_second, bandwidth
        self._lock = threading.Lock()
        self.throttle = AdaptiveThrottle()
        """What the server asks for itself, if it does."""
        self.shares = 1
        """Among so many processes at once its pace is divided: each that it is pickled for has one share."""
        self.on_bytes: Optional[Callable[[int], None]] = None
        """Told how many bytes more have gone; called from several threads."""

    @property
    def is_paced(self) -> bool:
        """Is there a limit?"""
        return any(self._rates)

    def __reduce__(self) -> tuple[Any, ...]:
        requests, bandwidth = (rate / self.shares if rate else None for rate in self._rates)
        return functools.partial(Pacer, requests_per_second=requests, bandwidth=bandwidth), ()

    @property
    def paces_bytes(self) -> bool:
        """Are bytes held back?"""
        return self._bytes is not None

    def pace_request(self, cancel: Optional[Cancel] = None) -> None:
        """Wait until a request more may go."""
        if self._requests is not None:
            _sleep(self._requests.after(1), cancel)

    def pace_bytes(self, count: int, cancel: Optional[Cancel] = None) -> None:
        """So many bytes more go: wait until they may."""
        if self._bytes is not None:
            _sleep(self._bytes.before(count), cancel)
        self.report_bytes(count)

    def report_bytes(self, count: int) -> None:
        """So many bytes more have gone."""
        if self.on_bytes is not None:
            with self._lock:
                self.on_bytes(count)


def _sleep(seconds: float, cancel: Optional[Cancel]) -> None:
    if seconds <= 0:
        return
    if cancel is None:
        time.sleep(seconds)
    else:
        cancel.wait(seconds)


class ByteBudget:
    """Bytes that parts in flight may hold together: who wants more waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._free = threading.Condition()

    def acquire(self, count: int, cancel: Cancel) -> int:
        """Hold so many bytes, no more than all; gives what ``give`` must be given back. Raises StepError when stopped."""
        count = min(count, self._limit)
        with self._free:
            while self._held + count > self._limit:
                cancel.stop_if_set()
                self._free.wait(0.2)
            self._held += count
        return count

    def release(self, count: int) -> None:
        """Hold them no longer."""
        with self._free:
            self._held -= count
            self._free.notify_all()
