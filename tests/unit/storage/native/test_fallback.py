"""The plain engine stands in for what the native client does not support."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native import fallback
from rolerunner.storage.native.templates import UnsupportedRequest


def unsupported(*_: Any) -> Any:
    raise UnsupportedRequest("a proxy")


def unsupported_task() -> Task[str]:
    yield 0.0
    unsupported()
    return "native"


def unsupported_items() -> Iterator[str]:
    unsupported()
    yield "native"


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "_LOGGED", set())


def test_a_task_continues_in_a_thread() -> None:
    task = fallback.run_or_fall_back(unsupported_task(), lambda: "plain")
    assert next(task) == 0.0
    call = task.send(None)
    assert isinstance(call, BlockingCall)
    with pytest.raises(StopIteration) as end:
        task.send(call.call())
    assert end.value.value == "plain"


def test_calls_and_listings_fall_back_and_log_a_reason_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert fallback.call_or_fall_back(unsupported, lambda: "plain") == "plain"
        items = fallback.iterate_or_fall_back(unsupported_items(), lambda: iter(["plain"]))
        assert list(items) == ["plain"]
    assert [record.getMessage() for record in caplog.records] == [
        "boto3 sends these requests instead of the fast engine: a proxy"
    ]


def test_what_is_supported_is_passed_through() -> None:
    assert fallback.call_or_fall_back(lambda: "native", unsupported) == "native"
    assert list(fallback.iterate_or_fall_back(iter(["native"]), unsupported)) == ["native"]


def test_other_errors_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        fallback.call_or_fall_back(lambda: 1 // 0, unsupported)
