"""A proxy between rolerunner and the embedded AWS that breaks a share of the answers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.between import Between, Proxy

KINDS = ("throttled", "broken", "reset", "slow", "cut", "lost")
"""503 SlowDown; 500; the connection reset; an answer late; a body cut short; done, but the answer lost."""


class Faulty(Proxy):
    """``rate`` of the requests get one of ``KINDS``; ``seen`` counts them."""

    def __init__(self, endpoint: str, rate: float, seed: int) -> None:
        super().__init__(endpoint, _Breaking)
        self.rate = rate
        self.seen: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def fate(self) -> str:
        with self._lock:
            kind = self._random.choice(KINDS) if self._random.random() < self.rate else "fine"
            self.seen[kind] += 1
            return kind


class _Breaking(Between):
    server: Faulty

    def passing(self, body: bytes) -> None:
        fate = self.server.fate()
        if fate == "throttled":
            return self.answer(
                503, {"Content-Type": "text/xml"}, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            )
        if fate == "broken":
            return self.answer(500, {"Content-Type": "text/xml"}, b"<Error><Code>InternalError</Code><Message>We had an error.</Message></Error>")
        if fate == "reset":
            return self.hang_up()
        if fate == "slow":
            time.sleep(0.4)
        told = self.asked(body)
        if fate in ("lost", "cut") and self.command == "POST" and self.path.endswith("?uploads"):
            self.server.seen["upload begun unheard"] += 1  # nobody learns its id, so nobody can abort it
        return self.hang_up() if fate == "lost" else self.answer(*told, cut=fate == "cut")


@contextmanager
def faulty(endpoint: str, rate: float, seed: int = 1) -> Iterator[Faulty]:
    """Such a proxy, while the block runs."""
    with Faulty(endpoint, rate, seed) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()
