"""A worker pool in this thread: tasks and results are pickled, and workers can be made to die."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from rolerunner.storage.workers import worker_setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pytest

    from rolerunner.common.cancellation import Cancel


def open_new_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes workers of this process forget the sessions of another test's sandbox."""
    monkeypatch.setattr(worker_setup, "_SESSIONS", {})
    monkeypatch.setattr(worker_setup, "_STORAGES", {})


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
