"""The event loop is idle if it waited for most of a window."""

from __future__ import annotations

import time

import pytest

from rolerunner.storage.http.idle_meter import IDLE_WINDOW, IdleMeter


@pytest.mark.parametrize(("share", "is_idle"), [(0.9, True), (0.1, False)])
def test_a_window_is_idle_if_most_of_it_was_waited(
    share: float, is_idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = IdleMeter()
    now[0] += IDLE_WINDOW / 2
    assert not meter.measure(now[0] - share * IDLE_WINDOW / 2), "the window has not ended"
    now[0] += IDLE_WINDOW
    assert meter.measure(now[0] - share * IDLE_WINDOW) is is_idle
    now[0] += IDLE_WINDOW * 2
    assert not meter.measure(now[0]), "a new window began"
