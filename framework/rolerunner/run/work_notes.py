"""Notes about work that a step started elsewhere, such as a query, and that may still go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Optional

from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from rolerunner.model import Step

WriteNotes = Callable[[Mapping[str, "WorkNote"]], None]


@dataclass(frozen=True)
class WorkNote:
    """A note of a step, or of one item of it."""

    step: str
    run_id: str
    """The run that started the work."""
    fingerprint: Mapping[str, str]
    """Digests of the inputs that the work was started with."""
    needs: tuple[str, ...]
    """Ids of the steps before it; once one of them runs again, the work is outdated."""
    text: str
    """A reference to the work, such as the id of a query."""


@dataclass
class WorkNotes:
    """The notes of a run, kept in its state if it has one. Several threads may write."""

    notes: dict[str, WorkNote] = field(default_factory=dict)
    write: Optional[WriteNotes] = None
    """Stores all notes in the state of the run; None without one."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, key: str) -> Optional[WorkNote]:
        """Returns the note of a step or item; None if there is none."""
        with self._lock:
            return self.notes.get(key)

    def put(self, key: str, note: WorkNote) -> None:
        """Keeps a note. Raises StepError if the state cannot be written."""
        with self._lock:
            self.notes[key] = note
            self._write()

    def remove(self, key: str) -> None:
        """Removes a note. Raises StepError if the state cannot be written."""
        with self._lock:
            if self.notes.pop(key, None) is not None:
                self._write()

    def drop_step(self, step: str) -> None:
        """Removes the notes of a step; the caller writes the state."""
        with self._lock:
            for key in [key for key, note in self.notes.items() if note.step == step]:
                del self.notes[key]

    def drop_dependents(self, step: str) -> list[WorkNote]:
        """Removes and returns the notes of the steps that need a step; the caller writes them."""
        names = {step, step.partition("[")[0]}  # steps outside need the group
        with self._lock:
            found = [key for key, note in self.notes.items() if names & set(note.needs)]
            return [self.notes.pop(key) for key in found]

    def _write(self) -> None:
        if self.write is not None:
            self.write(self.notes)


@dataclass(frozen=True)
class StartedWork:
    """The note of one step or item, as its action uses it."""

    key: str
    step: Step
    run_id: str
    fingerprint: Callable[[], Mapping[str, str]]
    """Returns the digests of the inputs of the step."""
    notes: WorkNotes

    def aside(self, name: str) -> StartedWork:
        """Returns another note of the same step or item."""
        return replace(self, key=f"{self.key}:{name}")

    @property
    def is_kept(self) -> bool:
        """True if the state of the run keeps the note for a later run."""
        return self.notes.write is not None

    def read(self, *, same_inputs: bool = True) -> str:
        """Returns the note of an attempt or of an earlier run; empty if there is none.

        With ``same_inputs`` it is one of a step with the same inputs.
        """
        note = self.notes.find(self.key)
        if note is None or (same_inputs and note.fingerprint != self.fingerprint()):
            return ""
        return note.text

    def write(self, text: str, *, same_inputs: bool = True) -> None:
        """Keeps a note until the step succeeds, or ``clear``. Raises StepError.

        Without ``same_inputs`` it is kept whatever becomes of the inputs, and its reader compares.
        """
        step = self.step
        digests, needs = (self.fingerprint(), tuple(step.needs)) if same_inputs else ({}, ())
        self.notes.put(self.key, WorkNote(step.id, self.run_id, digests, needs, text))

    def clear(self) -> None:
        """Removes the note, since the work has ended. Raises StepError."""
        self.notes.remove(self.key)
