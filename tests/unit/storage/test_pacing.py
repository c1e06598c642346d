"""Requests are slowed after a SlowDown response: by half, for some seconds, then no more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rolerunner.storage import pacing
from rolerunner.storage.pacing import AdaptiveThrottle


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pacing, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def sent(throttle: AdaptiveThrottle, clock: Clock, seconds: float, asking: float = 10_000.0) -> int:
    """Returns how many requests go in that time, of so many that want to in a second."""
    went, end = 0, clock.now + seconds
    while clock.now < end:
        went += throttle.wait() == 0
        clock.now += 1 / asking
    return went


def test_nobody_is_held_back_who_was_not_refused(clock: Clock) -> None:
    assert {AdaptiveThrottle().wait() for _ in range(1000)} == {0.0}


def test_a_refusal_halves_what_went_and_five_seconds_bring_it_back(clock: Clock) -> None:
    throttle = AdaptiveThrottle()
    sent(throttle, clock, 2, asking=1000)
    throttle.on_refused(throttle.era)
    assert 450 <= sent(throttle, clock, 1) <= 650
    sent(throttle, clock, 3.5)
    assert 900 <= sent(throttle, clock, 1) <= 1200


def test_refusals_of_requests_from_before_it_slowed_down_say_nothing_new(clock: Clock) -> None:
    throttle = AdaptiveThrottle()
    sent(throttle, clock, 2, asking=1000)
    for _ in range(100):
        throttle.on_refused(0)
    assert throttle.era == 1
    assert sent(throttle, clock, 1) >= 450


def refused_for(throttle: AdaptiveThrottle, clock: Clock, seconds: float) -> None:
    """Whatever is asked."""
    end = clock.now + seconds
    while clock.now < end:
        era = throttle.era
        if throttle.wait() == 0:
            throttle.on_refused(era)
        clock.now += 0.01


def test_a_storm_of_refusals_is_one_piece_of_news(clock: Clock) -> None:
    throttle = AdaptiveThrottle()
    sent(throttle, clock, 1, asking=1000)
    refused_for(throttle, clock, 0.15)
    assert throttle.era == 1


def test_refusals_again_and_again_leave_some_requests_a_second(clock: Clock) -> None:
    throttle = AdaptiveThrottle()
    sent(throttle, clock, 1, asking=1000)
    refused_for(throttle, clock, 30)
    assert 4 <= sent(throttle, clock, 2) <= 8


def test_a_server_that_says_it_no_more_gets_all_again_within_ten_seconds(clock: Clock) -> None:
    throttle = AdaptiveThrottle()
    sent(throttle, clock, 1, asking=2000)
    refused_for(throttle, clock, 20)
    sent(throttle, clock, 10.1, asking=2000)
    assert sent(throttle, clock, 1, asking=2000) == pytest.approx(2000, abs=5)
    assert {throttle.wait() for _ in range(100_000)} == {0.0}


def test_those_that_wait_come_back_one_after_the_other(clock: Clock) -> None:
    throttle = AdaptiveThrottle()
    sent(throttle, clock, 1, asking=200)
    throttle.on_refused(throttle.era)
    throttle.wait()
    waits = [throttle.wait() for _ in range(50)]
    assert waits == sorted(waits)
    assert len(set(waits)) == 50
    assert all(0.5 <= throttle.wait() <= 1 for _ in range(500)), (
        "and none looks later than in a second whether it still has to wait"
    )
