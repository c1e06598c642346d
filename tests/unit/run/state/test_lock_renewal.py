"""The threads that renew a lock, and that stop a run before its lock is stale."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Optional

import pytest

from rolerunner.errors import StepError
from rolerunner.run.state import lock_renewal
from rolerunner.run.state.lock_holder import LockHolder, elapsed
from rolerunner.run.state.lock_renewal import LockRenewal
from rolerunner.run.state.stores import LockLost


@dataclass
class FakeState:
    """A state that counts renewals, or refuses them."""

    seconds: float
    is_refusing: bool = False
    is_marking: bool = True
    key: str = "k"
    lost: Optional[StepError] = None
    renewals: int = 0
    renewed: float = field(default_factory=elapsed)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def holder(self) -> LockHolder:
        return LockHolder("me", stale_after=self.seconds)

    def renew(self) -> None:
        with self.changed:
            self.renewals += 1
            self.changed.notify_all()
        if self.is_refusing:
            raise StepError("no", type="SlowDown")
        if self.is_marking:
            self.renewed = elapsed()

    def stop_writing(self, why: StepError) -> None:
        with self.changed:
            self.lost = why
            self.changed.notify_all()

    def wait_for(self, condition: Any, seconds: float = 20) -> bool:
        with self.changed:
            return bool(self.changed.wait_for(condition, seconds))


def renewing(state: FakeState) -> LockRenewal:
    renewal = LockRenewal(state)  # type: ignore[arg-type]
    renewal.start()
    return renewal


def test_a_lock_is_renewed_four_times_before_it_is_stale() -> None:
    state = FakeState(0.8)
    began = elapsed()
    renewal = renewing(state)
    assert state.wait_for(lambda: state.renewals >= 2)
    renewal.stop()
    assert elapsed() - began >= 2 * 0.2
    assert state.lost is None


def test_a_renewal_that_fails_is_repeated_sooner() -> None:
    state = FakeState(4.0, is_refusing=True)
    state.renewed -= 1.0
    began = elapsed()
    renewal = renewing(state)
    assert state.wait_for(lambda: state.renewals >= 3)
    renewal.stop()
    assert 2 * 0.25 <= elapsed() - began < 2 * 1.0


@pytest.mark.parametrize(
    ("stale_after", "limit"), [(0.4, 0.2), (8.0, 4.0), (16.0, 11.0), (40.0, 30.0)]
)
def test_a_run_stops_before_its_lock_is_stale(stale_after: float, limit: float) -> None:
    """A quarter of the time is kept for stopping, at least five seconds, at most a half."""
    state = FakeState(stale_after, is_refusing=True)
    state.renewed = elapsed() - limit + 0.2
    renewal = renewing(state)
    assert state.wait_for(lambda: state.lost is not None)
    renewal.stop()
    over = elapsed() - state.renewed - limit
    assert 0 <= over < 5
    assert isinstance(state.lost, LockLost)
    assert state.lost.type == "LockNotRenewed"
    assert f"could not be renewed for {limit:.3g} s" in state.lost.message


def test_a_renewal_that_is_stopped_neither_renews_nor_loses() -> None:
    state = FakeState(0.8)
    renewal = renewing(state)
    renewal.stop()
    assert not state.wait_for(lambda: state.renewals or state.lost, 0.9)


def test_a_lock_that_is_lost_is_not_renewed() -> None:
    state = FakeState(0.4, lost=StepError("taken"))
    renewing(state)
    assert not state.wait_for(lambda: state.renewals, 0.4)


@dataclass
class FakeEnd:
    """An event that comes with a given wait; the waits before it are recorded."""

    left: int
    waits: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) >= self.left


def list_waits(work: str, state: FakeState, now: float, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns how long the work of a thread waits, at a time after the last renewal."""
    state.renewed, end = 100.0, FakeEnd(3)
    monkeypatch.setattr(lock_renewal, "elapsed", lambda: 100.0 + now)
    renewal = LockRenewal(state)  # type: ignore[arg-type]
    monkeypatch.setattr(renewal, "_ended", end)
    getattr(renewal, work)()
    return end.waits


@pytest.mark.parametrize(
    ("now", "is_refusing", "waits"),
    [(0.5, False, [1.5, 2.0, 2.0]), (9.0, False, [0, 2.0, 2.0]), (2.0, True, [0, 0.5, 0.5])],
)
def test_a_lock_is_renewed_each_quarter_of_its_time(
    now: float, is_refusing: bool, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = FakeState(8.0, is_refusing=is_refusing, is_marking=False)
    assert list_waits("_renew_lock", state, now, monkeypatch) == waits
    assert state.renewals == 2


@pytest.mark.parametrize(
    ("now", "waits"), [(10.0, [1.0] * 3), (29.5, [0.5] * 3), (30.0, []), (31.0, [])]
)
def test_the_age_of_a_lock_is_checked_each_second(
    now: float, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = FakeState(40.0)
    assert list_waits("_watch_writes", state, now, monkeypatch) == waits
    assert (state.lost is None) is bool(waits)
