"""Transfers that are begun again, and the time of that."""

from __future__ import annotations

import pytest

from rolerunner.errors import AccessDenied, IntegrityFailed
from rolerunner.storage.boto.retries import MAX_TRIES, backoff_seconds, can_retry


@pytest.mark.parametrize(
    ("error", "tried", "expected"),
    [
        (IntegrityFailed("damaged"), 1, True),
        (IntegrityFailed("damaged"), MAX_TRIES - 1, True),
        (IntegrityFailed("damaged"), MAX_TRIES, False),
        (AccessDenied("refused"), 1, False),
        (ValueError("a bug"), 1, False),
    ],
)
def test_what_may_succeed_is_tried_again(error: Exception, tried: int, expected: bool) -> None:
    assert can_retry(error, tried) is expected


def test_pauses_double() -> None:
    assert [backoff_seconds(tried) for tried in (1, 2)] == [0.4, 0.8]
