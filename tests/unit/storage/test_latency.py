"""The latency of S3, as the latest requests showed it."""

from __future__ import annotations

from rolerunner.storage.latency import LatencyMeter


def test_the_quickest_of_the_latest_requests_counts() -> None:
    assert LatencyMeter().seconds is None
    meter = LatencyMeter()
    meter.add(0.01)
    meter.add(0.5)
    assert meter.seconds == 0.01
    for _ in range(64):
        meter.add(0.2)
    assert meter.seconds == 0.2
