"""Tells of runs that do not begin, and marks failures that were told.

A failure that nobody was told of, such as one before the spec could be read, is told by the rules
that ``deploy`` makes for Glue's own ends. They know a told one by its exit status or exception.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from rolerunner.events import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.events import Event
    from rolerunner.model import Job, RunLocation, RunResult
    from rolerunner.sessions.identity import JobIdentity

NOTIFIED_EXIT_STATUS = 87
"""The exit status of a Python Shell job that failed and was told; few programs use it."""
NOTIFIED_MESSAGES = (f"*exit code {NOTIFIED_EXIT_STATUS}*", "*NotifiedFailure*")
"""Wildcards for the messages of Glue's events about failures that were told."""
_NOTIFIED, _NOT_NOTIFIED = "notified", "notification_failed"


class NotifyOutcomes:
    """An observer that counts the targets that were told, and those that were not."""

    def __init__(self) -> None:
        self._told = 0
        self._failed = 0

    def notify(self, event: Event) -> None:
        """Handles an event."""
        if isinstance(event, Note):
            self._told += event.message == _NOTIFIED
            self._failed += event.message == _NOT_NOTIFIED

    @property
    def is_told(self) -> bool:
        """True if there were targets to tell, and all were told."""
        return self._told > 0 and not self._failed


@dataclass(frozen=True)
class UnstartedRun:
    """A run that did not begin, because its spec, its params or something else is wrong."""

    spec: str
    environment: str
    """The environment of the spec; empty for none."""
    params: Mapping[str, str]
    job: Optional[Job]
    """The job, if the spec could be loaded."""
    identity: JobIdentity
    location: RunLocation
    is_invalid: bool
    """True if the spec or its params are wrong."""

    def tell(self, result: RunResult, notify: Callable[[Event], None]) -> None:
        """Tells the targets, as far as the spec's ``notify`` can be read. Raises RolerunnerError.

        ``notify`` takes a note for each target.
        """
        from rolerunner import api  # noqa: PLC0415 - a run that begins has no use for these
        from rolerunner.wiring import build_sessions  # noqa: PLC0415

        job = self.job or api.load_notify_section(
            self.spec, self.params, self.identity, self.environment
        )
        if job is None or not job.notify:
            return
        from rolerunner.notifications.delivery import Sender  # noqa: PLC0415

        sessions = build_sessions(self.identity, f"{job.name}-{result.run_id}")
        sender = Sender(sessions, job.params, notify, self.location)
        targets = api.plan(job).notify
        sender.tell_end(targets, replace(result, job=job.name), is_invalid=self.is_invalid)
