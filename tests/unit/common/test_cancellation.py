"""The signal that stops an operation."""

from __future__ import annotations

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError


def test_a_signal_is_set_with_its_parent_alone() -> None:
    parent = Cancel()
    child, sibling = Cancel(parent), Cancel(parent)
    child.set()
    assert (child.is_set(), sibling.is_set(), parent.is_set()) == (True, False, False)
    parent.set()
    assert sibling.is_set()


def test_it_stops_and_does_not_wait_once_set() -> None:
    cancel = Cancel()
    cancel.stop_if_set()
    assert cancel.wait(0) is False
    cancel.set()
    assert cancel.wait(1000) is True
    with pytest.raises(StepError) as caught:
        cancel.stop_if_set()
    assert caught.value.type == "Stopped"
