"""Formats sizes and durations for people."""

from __future__ import annotations

from typing import Any, Optional

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_BINARY = 1024
_MINUTE, _HOUR, _TENTHS = 60, 3600, 10


def format_size(count: float) -> str:
    """Formats a number of bytes in binary units."""
    size, unit = float(count), 0
    while size >= _BINARY and unit < len(_UNITS) - 1:
        size, unit = size / _BINARY, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def sum_numbers(value: Any) -> Optional[float]:
    """Returns a number, or the sum of a list's numbers; None for anything else."""
    if isinstance(value, (list, tuple)):
        numbers = [number for number in map(sum_numbers, value) if number is not None]
        return sum(numbers) if numbers else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def format_duration(seconds: float) -> str:
    """Formats seconds: 0.25 s, 3 min 20 s, 2 h 5 min."""
    if seconds < _MINUTE:
        return f"{seconds:.3g} s" if seconds < _TENTHS else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    return f"{minutes // _MINUTE} h" + (f" {minutes % _MINUTE} min" if minutes % _MINUTE else "")
