"""A pool works with the threads that the machine allows."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rolerunner.storage.thread_pool import ThreadPool


def limit_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Lets so many threads start, and no more."""
    start, started = threading.Thread.start, iter(range(count))

    def start_if_allowed(self: threading.Thread) -> Any:
        if next(started, None) is None:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_if_allowed)


def test_one_thread_does_the_work_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPool(4) as pool:
        limit_threads(monkeypatch, 1)
        release = threading.Event()
        first = pool.submit(release.wait, 10)
        rest = [pool.submit(str, number) for number in range(3)]
        release.set()
        assert first.result()
        assert [each.result() for each in rest] == ["0", "1", "2"]
        monkeypatch.undo()


def test_no_thread_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPool(4) as pool:
        limit_threads(monkeypatch, 0)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(str, 1)
        monkeypatch.undo()
