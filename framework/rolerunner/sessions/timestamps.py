"""Timestamps of AWS's responses."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from typing import Any

import botocore.utils

_FIELDS = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
"""Positions of year, month, day, hour, minute and second in S3's form."""


def parse_timestamp(value: Any) -> datetime:
    """Parses the form of S3 and STS by position, and leaves all others to botocore.

    botocore tries every form in turn, which takes two thirds of the time of a listing.
    """
    if isinstance(value, str) and len(value) in (20, 24) and value[-1] == "Z" and value[10] == "T":
        with contextlib.suppress(ValueError):
            year, month, day, hour, minute, second = (
                int(value[start:end]) for start, end in _FIELDS
            )
            micros = int(value[20:23] or 0) * 1000
            return datetime(year, month, day, hour, minute, second, micros, tzinfo=timezone.utc)
    return botocore.utils.parse_timestamp(value)  # type: ignore[no-any-return]
