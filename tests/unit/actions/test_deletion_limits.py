"""Limits of what a step deletes."""

from __future__ import annotations

import pytest

from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.errors import StepError


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (2500, 1, "2,500 objects in x would be deleted, but 'max_delete' is 1,000"),
        (1, 101, "1 object of 101 bytes in x would be deleted, but 'max_delete_size' is 100 bytes"),
    ],
)
def test_an_error_names_both_numbers(count: int, size: int, message: str) -> None:
    with pytest.raises(StepError) as caught:
        DeletionLimits(1000, 100).check(count, size, "object", " in x")
    expected = f"{message}; nothing was deleted"
    assert (str(caught.value), caught.value.type) == (expected, "MaxDelete")


def test_what_is_within_the_limits_may_be_deleted() -> None:
    DeletionLimits(1000, 100).check(1000, 100, "object")
    DeletionLimits(1000).check(1000, 10**15, "object")
