"""Renews the lock of a run key in the background, and stops the run before the lock is stale."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rolerunner.errors import StepError
from rolerunner.run.state.lock_holder import elapsed
from rolerunner.run.state.stores import LockLost

if TYPE_CHECKING:
    from rolerunner.run.state.run_state import RunState

_RENEWALS = 4
"""Renewals within the time after which the lock is stale."""
_STOP_SECONDS = 5.0
"""Time for a run to stop before its lock is stale; at most half of the lock's time."""
_CHECK_SECONDS = 1.0
"""Interval of checks: a machine that was suspended notices soon after it wakes."""


class LockRenewal:
    """Two daemon threads: one renews the lock, the other watches that writes do not hang."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._ended = threading.Event()

    def start(self) -> None:
        """Starts the threads."""
        for work, name in (
            (self._renew_lock, "rolerunner-state"),
            (self._watch_writes, "rolerunner-lease"),
        ):
            threading.Thread(target=work, daemon=True, name=name).start()

    def stop(self) -> None:
        """Tells the threads to end. Does not wait for them."""
        self._ended.set()

    def _renew_lock(self) -> None:
        period = self._state.holder.stale_after / _RENEWALS
        wait = max(self._state.renewed + period - elapsed(), 0)
        while not self._ended.wait(wait) and self._state.lost is None:
            wait = period
            try:
                self._state.renew()
            except StepError:
                wait = period / _RENEWALS  # there is time for more attempts

    def _watch_writes(self) -> None:
        lasts = self._state.holder.stale_after
        limit = lasts - min(max(lasts / _RENEWALS, _STOP_SECONDS), lasts / 2)
        while self._state.lost is None:
            left = self._state.renewed + limit - elapsed()
            if left <= 0:
                self._state.stop_writing(_not_renewed(self._state.key, limit))
            elif self._ended.wait(min(left, _CHECK_SECONDS)):
                return


def _not_renewed(key: str, limit: float) -> LockLost:
    return LockLost(
        f"the lock of the run key '{key}' could not be renewed for {limit:.3g} s, "
        "so this run stops before another may take it",
        hint="check whether the location of the state is reachable and writable",
        type="LockNotRenewed",
    )
