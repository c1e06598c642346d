"""Checks of items run in a thread only if they may block."""

from __future__ import annotations

import pytest

from rolerunner.storage.http.tasks import BlockingCall
from rolerunner.storage.native.tasks import is_skipped
from rolerunner.storage.protocol import QuickCheck


def test_no_check_skips_nothing() -> None:
    with pytest.raises(StopIteration) as end:
        next(is_skipped(None))
    assert end.value.value is False


@pytest.mark.parametrize("answer", [True, False])
def test_a_quick_check_is_made_at_once(answer: bool) -> None:
    with pytest.raises(StopIteration) as end:
        next(is_skipped(QuickCheck(lambda: answer)))
    assert end.value.value is answer


def test_another_check_waits_for_a_thread() -> None:
    task = is_skipped(lambda: True)
    call = next(task)
    assert isinstance(call, BlockingCall)
    with pytest.raises(StopIteration) as end:
        task.send(call.call())
    assert end.value.value is True
