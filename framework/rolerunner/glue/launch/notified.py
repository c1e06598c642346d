"""Tells of runs that do not begin, and marks failures that were told.

A failure that nobody was told of, such as one before the spec could be read, is told by the rules
that ``deploy`` makes for Glue's own ends. They know a told one by its exit status or exception.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.events import Note
from rolerunner.spec.nested_templates import iter_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.events import Event
    from rolerunner.model import Job, Plan, RunLocation, RunResult
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.registry import Sessions

NOTIFIED_EXIT_STATUS = 87
"""The exit status of a Python Shell job that failed and was told; few programs use it."""
NOTIFIED_MESSAGES = (f"*exit code {NOTIFIED_EXIT_STATUS}*", "*NotifiedFailure*")
"""Wildcards for the messages of Glue's events about failures that were told."""
_FETCH_SECONDS = 10.0
"""Time in which the URLs of webhooks must be fetched."""
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
        plan = api.plan(job)
        params = {**job.params, **_fetch_urls(plan, sessions)}
        sender = Sender(sessions, params, notify, self.location)
        sender.tell_end(plan.notify, replace(result, job=job.name), is_invalid=self.is_invalid)


def _fetch_urls(plan: Plan, sessions: Sessions) -> dict[str, Any]:
    """Returns the secret params that webhooks read, as far as they can be fetched in time."""
    names = {
        reference.path[1]
        for told in plan.notify
        for _, template in iter_templates([told.notification.target])
        for reference in template.references
        if reference.path[0] == "params"
    }
    wanted = [secret for secret in plan.secrets if secret.source.param in names]
    values: dict[str, Any] = {}
    if not wanted:
        return values
    from rolerunner.run.secret_params import fetch_text, read_value  # noqa: PLC0415
    from rolerunner.run.timeouts import run_with_timeout  # noqa: PLC0415

    def fetch_each() -> None:
        for secret in wanted:
            with suppress(StepError):  # the webhook's own warning says that there is no URL
                values[secret.source.param] = read_value(
                    secret.source, fetch_text(secret, sessions)
                )

    with suppress(StepError):
        run_with_timeout(fetch_each, Cancel(), _FETCH_SECONDS, 0)
    return dict(values)
