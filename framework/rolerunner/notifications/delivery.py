"""Tells all targets at the same time, each at most once and within ten seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.failures import as_step_error
from rolerunner.errors import StepError
from rolerunner.events import Note
from rolerunner.lazy_dataclass import dataclass
from rolerunner.notifications.message import describe_run, list_events, render_post
from rolerunner.notifications.undelivered import Undelivered
from rolerunner.redaction.redact import redact_text
from rolerunner.spec.nested_templates import fill_templates
from rolerunner.spec.notify_fields import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from rolerunner.events import Event
    from rolerunner.model import (
        Notification,
        PlannedNotification,
        RunLocation,
        RunResult,
    )
    from rolerunner.notifications.message import Message
    from rolerunner.sessions.registry import Sessions

SECONDS = 10.0
"""Time in which a target must have taken its message."""
NOTIFIED, NOT_NOTIFIED = "notified", "notification_failed"
"""The messages of the notes about a target that was told, and about one that was not."""
_POLL_SECONDS = 0.1
_ATTEMPTS = 3


@dataclass(frozen=True)
class Sender:
    """Sends messages with the sessions of a run."""

    sessions: Sessions
    params: Mapping[str, Any]
    notify: Callable[[Event], None]
    """Takes a note for each target that is told, and for each that is not."""
    location: RunLocation
    in_sandbox: bool = False

    def tell_end(
        self,
        notifications: Sequence[PlannedNotification],
        result: RunResult,
        *,
        is_invalid: bool = False,
        is_out_of_time: bool = False,
        reason: str = "",
    ) -> None:
        """Tells the targets that want to know of the end of a run. Never raises an Exception.

        ``is_invalid``: the spec or its params are wrong. ``is_out_of_time``: the run was stopped
        because no time was left, which is a failure, too. ``reason`` is why, if the result does
        not say it.
        """
        events = list_events(result, is_invalid=is_invalid, is_out_of_time=is_out_of_time)
        wanted = select_targets(notifications, events)
        if not wanted:
            return
        message = describe_run(result, self.location, reason, is_invalid=is_invalid)
        deliveries = [_Delivery(each, message, self) for each in wanted]
        for each in deliveries:
            each.start()
        deadline = time.monotonic() + SECONDS
        for each in deliveries:
            each.wait(deadline)
            self.notify(each.describe_outcome())


def select_targets(
    notifications: Sequence[PlannedNotification], events: Collection[str]
) -> list[PlannedNotification]:
    """Returns the notifications of these ends, without a target that is named twice."""
    found: dict[Any, PlannedNotification] = {}
    for each in notifications:
        told = each.notification
        if not set(told.on).isdisjoint(events):
            found.setdefault((told.kind, str(told.target), told.role), each)
    return list(found.values())


@dataclass
class _Delivery:
    """One message to one target, sent in a daemon thread that is abandoned if it hangs."""

    planned: PlannedNotification
    message: Message
    sender: Sender
    _outcome: list[Optional[StepError]] = field(default_factory=list)
    _thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Starts the thread; a machine that allows no more threads is a failed delivery."""
        thread = threading.Thread(target=self._run, daemon=True, name="rolerunner-notify")
        try:
            thread.start()
        except RuntimeError as error:
            self._outcome.append(as_step_error(error))
        else:
            self._thread = thread

    def wait(self, deadline: float) -> None:
        """Waits for the end of the delivery, at most until ``deadline``."""
        # short waits: Python handles signals in the waiting thread between them
        while self._thread is not None and self._thread.is_alive():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._thread.join(min(left, _POLL_SECONDS))

    def describe_outcome(self) -> Note:
        """Returns the note about the delivery."""
        target = {"target": self.planned.notification.label, "end": self.message.event}
        error = self._read_outcome()
        if error is None:
            return Note("", "info", NOTIFIED, target)
        reason = {"type": error.type, "error": redact_text(error.message)}
        hint = {"hint": redact_text(error.hint)} if error.hint else {}
        return Note("", "warning", NOT_NOTIFIED, {**target, **reason, **hint})

    def _read_outcome(self) -> Optional[StepError]:
        if self._outcome:
            return self._outcome[0]
        return StepError(
            f"no answer within {SECONDS:g} s; it may have the message",
            type="Timeout",
        )

    def _run(self) -> None:
        try:
            self._send_with_retries()
        except BaseException as error:  # noqa: BLE001 - told by the waiting thread
            self._outcome.append(as_step_error(error))
        else:
            self._outcome.append(None)

    def _send_with_retries(self) -> None:
        """Sends the message; one that was not received is sent again after a second or two."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _send(self.planned, self.message, self.sender)
            except Undelivered:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(attempt)
            else:
                return


def _send(planned: PlannedNotification, message: Message, sender: Sender) -> None:
    notification = planned.notification
    if notification.kind == "webhook":
        _post(notification, message, sender)
        return
    from rolerunner.notifications.aws_targets import AwsTarget  # noqa: PLC0415 - imports botocore

    AwsTarget(notification, planned.permissions, sender.sessions).send(message)


def _post(notification: Notification, message: Message, sender: Sender) -> None:
    from rolerunner.notifications import webhook  # noqa: PLC0415 - imports botocore

    url = str(fill_templates(notification.target, {"params": sender.params}) or "")
    if not url:
        raise StepError("its secret param has no value", type="NoUrl")
    if sender.in_sandbox and not is_loopback(url):
        raise StepError(
            "a run in the sandbox posts to webhooks of this machine only", type="InSandbox"
        )
    webhook.post(url, render_post(message), sender.sessions.find_ca_bundle())
