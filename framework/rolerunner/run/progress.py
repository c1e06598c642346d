"""Limits how often the progress of a step is reported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.events import Event, StepProgress

INTERVAL_SECONDS = 0.1


def throttle(notify: Callable[[Event], None]) -> Callable[[StepProgress], None]:
    """Returns a function that drops events which follow too closely on the one before."""
    last = 0.0

    def report(event: StepProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= INTERVAL_SECONDS:
            last = now
            notify(event)

    return report
