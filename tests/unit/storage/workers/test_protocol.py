"""Waves that run at once give each slot one task to run and one to wait for."""

from __future__ import annotations

import pytest

from rolerunner.storage.workers.protocol import choose_wave_size, count_waves_at_once


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 36, 400])
def test_waves_fill_all_slots_twice(slots: int) -> None:
    tasks = choose_wave_size(slots) * count_waves_at_once(slots)
    assert 2 * slots - count_waves_at_once(slots) < tasks <= 2 * slots
