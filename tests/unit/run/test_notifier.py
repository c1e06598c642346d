"""Events and their observers."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.events import Event, Note, RunStarted
from rolerunner.model import Job, Plan, Role
from rolerunner.run.notifier import EventNotifier, notify_start

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


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_an_interrupt_that_no_ctrl_c_raised_stops_nothing(handler: Any) -> None:
    signal.signal(signal.SIGINT, handler)
    cancel = Cancel()
    notifier = EventNotifier([Broken(KeyboardInterrupt())], cancel)
    if handler is signal.SIG_IGN:
        notifier.notify(NOTE)
    else:
        thread = threading.Thread(target=notifier.notify, args=(NOTE,))
        thread.start()
        thread.join(60)
    assert not cancel.is_set()


def test_a_widened_session_policy_is_told_with_role_and_step() -> None:
    roles = {Role("arn", "r", step="copy"): ("a", "b"), Role("arn", "s"): ("c",)}
    events: list[Event] = []
    plan = Plan(Job("j", ()), (), (), narrowed=roles)
    notify_start(plan, "r1", events.append)
    assert events == [
        RunStarted("r1", plan),
        *(
            Note("", "warning", f"session policy of {text}", {})
            for text in ("r (copy): a", "r (copy): b", "s: c")
        ),
    ]
