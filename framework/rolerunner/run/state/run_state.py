"""The state document of a run key, held by one run.

Every write is conditional on the one before (If-Match and If-None-Match in S3, a lock file on
disk), so a run whose key was taken over finds out at its next write, and writes nothing more.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any, Optional

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.run.state.document import choose_version
from rolerunner.run.state.lists import ListWriter, NotStorable
from rolerunner.run.state.lock_holder import LockHolder, elapsed, utc_now
from rolerunner.run.state.lock_renewal import LockRenewal
from rolerunner.run.state.step_record import StepRecord
from rolerunner.run.state.stores import MAX_BYTES, LockLost, StateStore
from rolerunner.run.work_notes import WorkNote
from rolerunner.step_ids import file_name

_PAUSE_FACTOR = 20
"""Writing steps inside groups takes a twentieth of the time: each write has all steps so far."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


@dataclass
class RunState:
    """The document of one run key. Several threads may write, one at a time."""

    store: StateStore
    name: str
    job: str
    key: str
    holder: LockHolder
    started: str
    """When the first run of the key began, in ISO 8601: the value of run.date and run.time."""
    steps: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    """Step that is not idempotent -> the run that began it, while its outcome is unknown."""
    notes: dict[str, WorkNote] = field(default_factory=dict)
    """Work that steps started elsewhere and that may still go on."""
    etag: str = ""
    is_new: bool = True
    lost: Optional[StepError] = None
    """Why nothing may be written any more."""
    renewed: float = 0.0
    """When the last successful write began, on the clock of ``elapsed``."""
    texts: dict[str, str] = field(default_factory=dict)
    """Entries of steps as JSON: of a thousand steps, one changes with each write."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _renewal: Optional[LockRenewal] = None
    _is_released: bool = False
    _pending: Optional[threading.Timer] = None
    """Writes the steps that were recorded since the last write."""
    _next_write: float = 0.0
    """When steps inside groups may be written again, on the clock of ``elapsed``."""
    _on_lost: Callable[[], None] = lambda: None

    def acquire(self) -> None:
        """Writes that this run holds the key. Raises LockLost if another was faster, StepError."""
        with self._lock:
            self._write_document()

    def check_conditions(self) -> None:
        """Proves that the store honours conditional writes. Raises StepError."""
        self.store.check_conditions(self.name, self._render_document())

    def find_step(self, step: str) -> Optional[StepRecord]:
        """Returns what is recorded of a step; None if nothing is."""
        read = self.steps.get(step)
        return None if read is None else StepRecord(**read, has_left="left" in read)

    def has_group(self, group: str) -> bool:
        """Returns True if steps inside a group are recorded."""
        with self._lock:
            return any(step.startswith(f"{group}[") for step in self.steps)

    def mark_begun(self, step: str) -> None:
        """Records that a step begins which must not be called twice. Raises StepError."""
        with self._lock:
            self.begun[step] = self.holder.run_id
            self._write_document()

    def clear_begun(self, step: str) -> None:
        """Records that a step which began is known to have failed. Raises StepError."""
        with self._lock:
            if self.begun.pop(step, None) is not None:
                self._write_document()

    def write_notes(self, notes: Mapping[str, WorkNote]) -> None:
        """Records the work that steps started elsewhere. Raises StepError."""
        with self._lock:
            self.notes = dict(notes)
            self._write_document()

    def drop_step(self, step: str) -> None:
        """Removes the record of a step. Raises StepError."""
        with self._lock:
            had_notes = self._drop_notes(step)
            if self.steps.pop(step, None) is not None or had_notes:
                self._write_document()

    def _drop_notes(self, step: str) -> bool:
        """Removes the notes of a step; returns False if it has none."""
        left = {key: note for key, note in self.notes.items() if note.step != step}
        had_notes, self.notes = len(left) < len(self.notes), left
        return had_notes

    def record_step(
        self, step: str, record: StepRecord, left: Sequence[Path] = (), *, soon: bool = False
    ) -> None:
        """Records a completed step, after its lists. Raises NotStorable, StepError.

        With ``soon`` it is written within seconds, together with others, or by ``flush``.
        """
        lists = ListWriter(self.store, f"{self.job}/{self.key}/{file_name(step)}")
        try:
            outputs = {name: lists.store_lists(value) for name, value in record.outputs.items()}
        except NotStorable:
            self.drop_step(step)
            raise
        entry = {
            "status": record.status,
            "outputs": outputs,
            "fingerprint": dict(record.fingerprint),
            "run_id": record.run_id,
            "seconds": record.seconds,
            "left": lists.store_left(left),
        }
        with self._lock:
            self.steps[step] = entry
            self.begun.pop(step, None)
            self._drop_notes(step)
            self.texts.pop(step, None)
            if soon:
                self._write_soon()
            else:
                self._write_document()

    def flush(self) -> None:
        """Writes what is to be written soon. Raises StepError."""
        with self._lock:
            if self._pending is not None:
                self._write_document()

    def _write_soon(self) -> None:
        """Writes now, or once writing has taken a small share of the time."""
        if self.lost is not None:
            raise self.lost
        if self._pending is not None:
            return
        left = self._next_write - elapsed()
        if left <= 0:
            self._write_document()
        else:
            self._pending = threading.Timer(left, self._flush_in_background)
            self._pending.daemon = True
            self._pending.start()

    def _flush_in_background(self) -> None:
        with suppress(StepError):  # still pending, so that whoever waits for it gets the error
            self.flush()

    def keep_lock(self, on_lost: Callable[[], None]) -> None:
        """Renews the lock until it is released. ``on_lost`` is called once if it is lost."""
        self._on_lost = on_lost
        self._renewal = LockRenewal(self)
        self._renewal.start()

    def renew(self) -> None:
        """Writes that the run still holds the key. Raises StepError."""
        with self._lock:
            if not self._is_released:
                self.holder = replace(self.holder, renewed=utc_now())
                self._write_document()

    def stop_writing(self, why: StepError) -> None:
        """Lets nothing be written any more."""
        if self.lost is None:
            self.lost = why
            self._on_lost()

    def release(self) -> None:
        """Gives the lock up, if this run still holds it. Raises StepError."""
        self._is_released = True
        if self._renewal is not None:
            self._renewal.stop()
        with self._lock:
            if self.lost is None:
                self.holder = LockHolder()
                self._write_document()

    def _write_document(self) -> None:
        if self.lost is not None:
            raise self.lost
        document = self._render_document()
        if len(document) > MAX_BYTES:
            message = f"the state would have {len(document):,} bytes; the limit is {MAX_BYTES:,}"
            raise StepError(message, type="TooLarge")
        began = elapsed()
        try:
            self.etag = self.store.write(self.name, document, self.etag)
        except LockLost as error:
            self.stop_writing(error)
            raise
        self.renewed = began
        now = elapsed()
        pause = max((now - began) * _PAUSE_FACTOR, _SHORTEST_PAUSE)
        self._next_write = now + min(pause, _LONGEST_PAUSE)
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _render_document(self) -> bytes:
        head = {
            "version": choose_version((*self.steps, *self.begun)),
            "job": self.job,
            "key": self.key,
            "started": self.started,
            "holder": asdict(self.holder),
            "begun": self.begun,
        }
        if self.notes:  # earlier releases refuse a document that has them
            head["started_work"] = {key: asdict(note) for key, note in self.notes.items()}
        for step, entry in self.steps.items():
            if step not in self.texts:
                self.texts[step] = json.dumps(entry)
        steps = ", ".join(f"{json.dumps(step)}: {self.texts[step]}" for step in self.steps)
        return f'{json.dumps(head)[:-1]}, "steps": {{{steps}}}}}\n'.encode()
