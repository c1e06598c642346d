"""Calls run in threads, and their ends wake the event loop."""

from __future__ import annotations

import selectors
import threading
from typing import TYPE_CHECKING

import pytest

from rolerunner.storage.http.blocking_calls import BlockingCalls
from rolerunner.storage.http.tasks import BlockingCall

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as opened:
        yield opened


@pytest.mark.parametrize("large", [False, True])
def test_the_end_of_a_call_wakes_the_loop(large: bool, selector: selectors.BaseSelector) -> None:
    calls = BlockingCalls(selector, 1)
    calls.submit("task", BlockingCall(threading.current_thread, large=large))
    assert selector.select(5)
    calls.drain_wake_ups()
    assert selector.select(0) == []
    ((task, future),) = calls.finished
    kind = "rolerunner-large" if large else "rolerunner-call"
    assert task == "task"
    assert future.result().name.startswith(kind)
    calls.close()


def test_an_error_belongs_to_its_task(selector: selectors.BaseSelector) -> None:
    def fail() -> None:
        raise ValueError("no")

    calls = BlockingCalls(selector, 1)
    calls.submit("task", BlockingCall(fail))
    assert selector.select(5)
    ((_, future),) = calls.finished
    assert str(future.exception()) == "no"
    calls.close()


def test_closing_waits_for_large_calls_alone(selector: selectors.BaseSelector) -> None:
    calls = BlockingCalls(selector, 1)
    go_on, ended = threading.Event(), threading.Event()
    calls.submit("small", BlockingCall(lambda: go_on.wait(10)))
    calls.submit("large", BlockingCall(ended.set, large=True))
    calls.close()
    assert ended.is_set()
    assert [task for task, _ in calls.finished] == ["large"]
    go_on.set()
