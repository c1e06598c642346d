"""Words the progress of a step: amounts, rate and time left, as far as they fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Optional

from rolerunner.common.units import format_duration, format_size
from rolerunner.common.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.events import StepProgress
    from rolerunner.observers.transfer_rate import ProgressMeter

_SEPARATOR = ", "
_COARSE_SECONDS = 10
"""Time left is shown in whole seconds, and from a minute on in multiples of so many."""
_MINUTE = 60


class _Part(NamedTuple):
    """A part of the text. Those with the highest rank are left out first."""

    rank: int
    text: str


def format_progress(meter: ProgressMeter, width: Optional[int] = None) -> str:
    """Returns the progress as text: parts that do not fit into ``width`` are left out.

    The text is longer than ``width`` only if its most important part is.
    """
    parts = [part for part in _list_parts(meter) if part.text]
    if width is not None:
        while len(parts) > 1 and len(_join_parts(parts)) > width:
            parts.remove(max(parts))
    return _join_parts(parts)


def _list_parts(meter: ProgressMeter) -> list[_Part]:
    """Returns the parts in the order in which they are shown."""
    latest, left = meter.latest, meter.seconds_left
    if latest is None or not (latest.objects or latest.bytes or meter.share is not None):
        return [_Part(0, _format_elapsed(meter.seconds))]
    counts_bytes = bool(latest.bytes) or meter.is_by_bytes
    objects_lead = not meter.is_by_bytes and latest.total_objects > 0
    return [
        _Part(0 if objects_lead or not counts_bytes else 4, _format_objects(latest)),
        _Part((4 if objects_lead else 0), _format_bytes(latest) if counts_bytes else ""),
        _Part(2, _format_rate(meter, by_bytes=counts_bytes)),
        _Part(3, _format_elapsed(meter.seconds) if left is None else ""),
        _Part(1, "" if left is None else f"{_format_left(left)} left"),
    ]


def _join_parts(parts: Sequence[_Part]) -> str:
    return _SEPARATOR.join(part.text for part in parts)


def _format_objects(latest: StepProgress) -> str:
    noun = latest.unit
    if latest.total_objects == 1:
        return ""
    if latest.total_objects:
        return f"{latest.objects:,} of {format_count(latest.total_objects, noun)}"
    return format_count(latest.objects, noun)


def _format_bytes(latest: StepProgress) -> str:
    """Returns ``1.2 of 2.0 GiB``, or ``512.0 MiB of 2.0 GiB``."""
    if not latest.total_bytes:
        return format_size(latest.bytes)
    done, total = (
        format_size(min(latest.bytes, latest.total_bytes)),
        format_size(latest.total_bytes),
    )
    unit = total.rpartition(" ")[2]
    return f"{done.removesuffix(f' {unit}')} of {total}"


def _format_rate(meter: ProgressMeter, *, by_bytes: bool) -> str:
    if by_bytes:
        return f"{format_size(meter.bytes_per_second)}/s" if meter.bytes_per_second else ""
    latest, rate = meter.latest, meter.objects_per_second
    if latest is None or rate < 1:
        return ""
    return f"{format_count(round(rate), latest.unit)}/s"


def _format_left(seconds: float) -> str:
    """Returns the time left, rounded up: the longer it is, the less precisely it is known."""
    if seconds <= _MINUTE:
        return f"{max(math.ceil(seconds), 1)} s"
    return format_duration(math.ceil(seconds / _COARSE_SECONDS) * _COARSE_SECONDS)


def _format_elapsed(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _MINUTE else format_duration(math.floor(seconds))
