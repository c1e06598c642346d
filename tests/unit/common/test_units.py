"""Tests sizes and durations as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.common.units import format_duration, format_size, sum_numbers


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (1 << 50, "1.0 PiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.25 s"),
        (9.999, "10 s"),
        (12.34, "12.3 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "total"),
    [(3, 3), (0, 0), ([1, [2, 3], "x"], 6), ([], None), (True, None), ("3", None), (None, None)],
)
def test_sum_of_numbers(value: Any, total: float | None) -> None:
    assert sum_numbers(value) == total
