"""Failures that were told: when all targets took their message."""

from __future__ import annotations

import pytest

from rolerunner.events import Note
from rolerunner.glue.launch.notified import NotifyOutcomes


@pytest.mark.parametrize(
    ("messages", "is_told"),
    [
        ([], False),
        (["notified"], True),
        (["notified", "notified"], True),
        (["notified", "notification_failed"], False),
        (["notification_failed"], False),
        (["something else"], False),
    ],
)
def test_a_failure_is_told_if_every_target_was(messages: list[str], is_told: bool) -> None:
    outcomes = NotifyOutcomes()
    for message in messages:
        outcomes.notify(Note("", "info", message, {}))
    assert outcomes.is_told is is_told
