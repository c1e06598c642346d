"""A worker pool in this thread: tasks and results are pickled, and workers can be made to die."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from rolerunner.storage.workers import (
    distributed_listing,
    distributed_tasks,
    timed_tasks,
    worker_setup,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pytest

    from rolerunner import sandbox
    from rolerunner.common.cancellation import Cancel


def open_new_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes workers of this process forget the sessions of another test's sandbox."""
    monkeypatch.setattr(worker_setup, "_SESSIONS", {})
    monkeypatch.setattr(worker_setup, "_STORAGES", {})


def imitate_executors(aws: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives workers the job's identity by the environment, as for executors, and small tasks."""
    keys = aws.job_keys
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys.token)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    monkeypatch.setenv("AWS_REGION", aws.region)
    open_new_sessions(monkeypatch)
    monkeypatch.setattr(distributed_tasks, "OBJECTS_PER_TASK", 5)
    monkeypatch.setattr(timed_tasks, "FIRST_ITEMS", 5)
    monkeypatch.setattr(distributed_listing, "KEYS_PER_BLOCK", 7)
    monkeypatch.setattr(distributed_listing, "TASK_SECONDS", 0)
    monkeypatch.setattr(distributed_listing, "KEYS_LISTED_HERE", 3)
    monkeypatch.setattr(distributed_listing, "SECONDS_LISTED_HERE", 0)


class InProcess:
    """Runs each task in this thread.

    ``dies`` are the numbers of tasks whose first worker dies after the work, before it reports.
    """

    def __init__(self, slots: int = 4, dies: Sequence[int] = ()) -> None:
        self._slots = slots
        self._dies = set(dies)
        self.waves: list[int] = []
        self.parts = 0

    def slots(self) -> int:
        return self._slots

    def run(
        self, waves: Iterable[Sequence[bytes] | None], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        assert what.startswith("rolerunner: ")
        for wave in waves:
            cancel.stop_if_set()
            assert wave is not None, "no task runs"
            if wave:
                self.waves.append(len(wave))
            yield [self._result(part) for part in wave]

    def _result(self, part: bytes) -> Any:
        self.parts += 1
        if self.parts in self._dies:
            pickle.loads(part)(False)
            return self._run_pickled(part, again=True)
        return self._run_pickled(part, again=False)

    def _run_pickled(self, part: bytes, *, again: bool) -> Any:
        return pickle.loads(pickle.dumps(pickle.loads(part)(again)))
