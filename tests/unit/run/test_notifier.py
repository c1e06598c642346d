"""Events and their observers."""

from __future__ import annotations

import logging
import signal

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.events import Event, Note
from rolerunner.run.notifier import EventNotifier

NOTE = Note("", "info", "text", {})


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)


class Broken:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def notify(self, event: Event) -> None:
        raise self.error


def test_an_observer_that_fails_keeps_no_event_from_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder, cancel = Recorder(), Cancel()
    with caplog.at_level(logging.WARNING, "rolerunner"):
        EventNotifier([Broken(ValueError("no")), recorder], cancel).notify(NOTE)
    assert (recorder.events, cancel.is_set()) == ([NOTE], False)
    assert "Broken failed on Note: no" in caplog.text


def test_ctrl_c_in_an_observer_stops_the_run() -> None:
    # a shell starts what runs in the background with Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cancel = Cancel()
    EventNotifier([Broken(KeyboardInterrupt())], cancel).notify(NOTE)
    assert cancel.is_set()


def test_nothing_is_notified_after_the_end() -> None:
    recorder = Recorder()
    notifier = EventNotifier([recorder], Cancel())
    notifier.close()
    notifier.notify(NOTE)
    assert (recorder.events, notifier.is_closed) == ([], True)
