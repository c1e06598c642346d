"""Measures how long S3 takes to respond."""

from __future__ import annotations

from collections import deque
from typing import Optional

_REQUESTS = 64
"""Latest requests of which the quickest counts: others waited for their bytes or their turn."""


class LatencyMeter:
    """The time that the latest requests of this process took. Thread-safe."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_REQUESTS)

    def add(self, seconds: float) -> None:
        """Adds a request that succeeded."""
        self._seen.append(seconds)

    @property
    def seconds(self) -> Optional[float]:
        """The latency in seconds; None if no request was sent."""
        return min(self._seen.copy(), default=None)


LATENCY = LatencyMeter()
"""That of all requests to S3 of this process."""
