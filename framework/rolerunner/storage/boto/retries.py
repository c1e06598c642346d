"""Repeats the transfer of one object that changed or arrived damaged.

Single requests have retries of their own.
"""

from __future__ import annotations

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import is_retryable

MAX_TRIES = 3
"""Times the transfer of one object is begun."""
_BASE_SECONDS = 0.2


def can_retry(error: Exception, tried: int) -> bool:
    """Returns True if another try, after so many, may succeed."""
    return tried < MAX_TRIES and isinstance(error, StepError) and is_retryable(error)


def backoff_seconds(tried: int) -> float:
    """Returns the pause after so many tries."""
    return float(_BASE_SECONDS * 2**tried)
