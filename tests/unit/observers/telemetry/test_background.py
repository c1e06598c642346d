"""Telemetry that is sent from a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from rolerunner.observers.telemetry import background
from rolerunner.observers.telemetry.background import BackgroundSender
from rolerunner.redaction.secrets import register_secret

if TYPE_CHECKING:
    import pytest


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records]


def wait_for(event: threading.Event) -> None:
    event.wait(20)


def test_all_is_sent_in_order(caplog: pytest.LogCaptureFixture) -> None:
    sender, sent = BackgroundSender("spans"), list[int]()
    for number in range(100):
        sender.submit(partial(sent.append, number))
    sender.close()
    assert (sent, messages(caplog)) == (list(range(100)), [])


def test_no_thread_starts_for_nothing() -> None:
    before = threading.active_count()
    BackgroundSender("spans").close()
    assert threading.active_count() == before


def test_failures_are_one_warning_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    register_secret("passphrase-of-lineage")

    def fail() -> None:
        raise OSError("refused: passphrase-of-lineage")

    sender = BackgroundSender("events")
    for _ in range(3):
        sender.submit(fail)
    sender.submit(lambda: None)
    with caplog.at_level(logging.WARNING):
        sender.close()
    assert messages(caplog) == ["events: 3 of 4 could not be sent: OSError: refused: [redacted]"]


def test_what_hangs_costs_a_bounded_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_MAX_QUEUED", 5)
    sender, ending = BackgroundSender("events"), threading.Event()
    began = time.monotonic()
    for _ in range(20):
        sender.submit(partial(wait_for, ending))
    sender.close(0.2)
    assert time.monotonic() - began < 2
    ending.set()
    assert messages(caplog) == ["events: 20 of 20 could not be sent: the server is too slow"]
