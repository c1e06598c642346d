from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from rolerunner.sessions import throttling


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0
        self.delays: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.delays.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr("time.monotonic", lambda: fake.now)
    monkeypatch.setattr("time.sleep", fake.sleep)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    return fake


class Throttled:
    def __init__(self, times: int, code: str = "Throttling") -> None:
        self.times, self.code = times, code

    def __call__(self) -> dict[str, Any]:
        self.times -= 1
        if self.times < 0:
            return {"Arn": "arn"}
        raise ClientError({"Error": {"Code": self.code}}, "AssumeRole")


def test_delays_double_up_to_eight_seconds(clock: FakeClock) -> None:
    assert throttling.wait_out_throttling(Throttled(7)) == {"Arn": "arn"}
    assert clock.delays == [0.5, 1, 2, 4, 8, 8, 8]


def test_other_errors_are_raised_at_once(clock: FakeClock) -> None:
    with pytest.raises(ClientError):
        throttling.wait_out_throttling(Throttled(1, "AccessDenied"))
    assert not clock.delays


def test_throttling_is_raised_before_the_wait_exceeds_its_limit(clock: FakeClock) -> None:
    with pytest.raises(ClientError):
        throttling.wait_out_throttling(Throttled(1000))
    assert clock.now <= throttling.MAX_WAIT_SECONDS < clock.now + 8


def test_a_delay_is_a_quarter_of_its_bound_at_least(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    throttling.wait_out_throttling(Throttled(3))
    assert clock.delays == [0.125, 0.25, 0.5]


def test_throttling_is_waited_out_for_90_seconds(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _, __: 1.0)
    with pytest.raises(ClientError):
        throttling.wait_out_throttling(Throttled(1000))
    assert clock.now == 90.0
