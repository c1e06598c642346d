"""The state of a run key as a run keeps it: its lock, and a record of each completed step."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import as_step_error
from rolerunner.errors import StepError, UsageError
from rolerunner.events import Note
from rolerunner.model import Failure, StepResult
from rolerunner.plan.planning import state_prefix
from rolerunner.redaction.sealing import has_secret_text
from rolerunner.run.idempotency import is_idempotent, is_outcome_known, removes_objects
from rolerunner.run.inputs import fingerprint_inputs
from rolerunner.run.resume import NoState, ReadScope, ResumeState, RunOptions
from rolerunner.run.state.acquire import acquire_state
from rolerunner.run.state.fingerprint import fingerprint
from rolerunner.run.state.lists import NotStorable
from rolerunner.run.state.lock_holder import LockHolder
from rolerunner.run.state.restorer import StepRestorer
from rolerunner.run.state.run_state import RunState
from rolerunner.run.state.state_work import GRACE_SECONDS, StateWork
from rolerunner.run.state.step_record import StepRecord
from rolerunner.run.state.stores import BucketStore, FolderStore, StateStore
from rolerunner.run.timeouts import run_with_timeout
from rolerunner.step_ids import is_inside_group

if TYPE_CHECKING:
    from rolerunner.model import Job, StateLocation, Step
    from rolerunner.run.environment import RunContext, RunEnvironment

_LOG = logging.getLogger("rolerunner")
_NOT_KEPT = "not kept in the state, so a resumed run repeats it"
_RELEASE_SECONDS = 60.0
"""Time after which a lock that cannot be released is left to become stale."""


def open_kept_state(
    job: Job, place: StateLocation, options: RunOptions, run: RunContext
) -> ResumeState:
    """Acquires the run key and returns its state. Raises StateHeld, UsageError."""
    cancel = run.environment.cancel
    holder = LockHolder.now(run.run_id, place.stale_after)
    try:
        store = _open_store(place, run.environment)
        state = run_with_timeout(
            lambda: acquire_state(
                store,
                job.full_name,
                options.run_key or run.run_id,
                holder,
                must_exist=options.must_exist,
                take_over=options.take_over,
            ),
            Cancel(cancel),
            None,
            GRACE_SECONDS,
        )
    except StepError as error:
        if cancel.is_set():
            return NoState()  # cancelled while it waited: no step starts
        hint = f"\n{error.hint}" if error.hint else ""
        message = f"the state at {place.location} cannot be used: {error.message}{hint}"
        raise UsageError(message) from None
    kept = KeptState(state, run)
    kept.start()
    return kept


def _open_store(place: StateLocation, environment: RunEnvironment) -> StateStore:
    if place.role is None:
        return FolderStore(Path(place.location).expanduser().absolute())
    return BucketStore(environment.open_storage(place.role, None, None), state_prefix(place))


class KeptState:
    """The state of a run key, as a run uses it.

    Work on a state that does not answer is abandoned once the run is to stop.
    """

    def __init__(self, state: RunState, run: RunContext) -> None:
        self._state = state
        self._run = run
        self._work = StateWork(run.environment.cancel)
        self._restorer = StepRestorer(state, run, self._work)

    def start(self) -> None:
        """Keeps the lock renewed, and tells the observers about the state."""
        self._state.keep_lock(self._stop_run)
        notes = self._run.work_notes
        notes.notes.update(self._state.notes)
        notes.write = lambda found: self._work.execute(lambda: self._state.write_notes(found))
        values = {"key": self._state.key, "resumes": not self._state.is_new}
        self._run.notify(Note("", "info", "state_held", values))

    @property
    def started(self) -> Optional[datetime]:
        """The start of the key's first run."""
        return datetime.fromisoformat(self._state.started)

    @property
    def lost(self) -> Optional[StepError]:
        """The reason why the lock is lost; None while it is held."""
        return self._state.lost

    @property
    def is_resumed(self) -> bool:
        """True if the state existed before this run."""
        return not self._state.is_new

    def has_step(self, step_id: str) -> bool:
        """Returns True if the outputs of a step, or of some steps of a group, are recorded."""
        return self._state.find_step(step_id) is not None or self._state.has_group(step_id)

    def restore_result(
        self, step: Step, read_scope: ReadScope, repeated: set[str]
    ) -> Optional[StepResult]:
        """Returns the result of a step that need not run again; None, and a note, if it must."""
        result = self._restorer.restore_result(step, read_scope, repeated)
        if result is None:
            self._drop_outdated_notes(step)
        return result

    def _drop_outdated_notes(self, step: Step) -> None:
        """Forgets the work of steps that need a step which runs now: it is of the time before."""
        dropped = self._run.work_notes.drop_dependents(step.id)
        for note in dropped:
            values = {"work": note.text, "run": note.run_id, "reason": f"'{step.id}' runs again"}
            message = "work that an earlier run started may still go on, and is not picked up"
            self._run.notify(Note(note.step, "warning", message, values))
        if dropped:
            self._work.execute(lambda: self._state.write_notes(self._run.work_notes.notes))

    def restore_unselected(self, step: Step) -> StepResult:
        """Returns the result of a step that was not selected; warns if its files changed."""
        return self._restorer.restore_unselected(step)

    def mark_begun(self, step: Step) -> None:
        """Records that a call begins which must not be repeated. Raises StepError.

        The steps before one that removes objects are written first: repeated, they would no longer
        find what they have read.
        """
        if not is_idempotent(step):
            self._work.execute(lambda: self._state.mark_begun(step.id))
        elif self._is_written_at_once(step):
            self.flush()

    def clear_begun(self, step: Step, error: StepError) -> None:
        """Takes that back if the call is known to have failed.

        If that cannot be written, a resumed run asks the user.
        """
        if not is_idempotent(step) and is_outcome_known(step, error):
            with suppress(StepError):
                self._work.execute(lambda: self._state.clear_begun(step.id))

    def record_result(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> StepResult:
        """Records a completed step before its dependents start; if that fails, the step fails."""
        if result.status not in ("succeeded", "warning"):
            return result
        try:
            self._work.execute(lambda: self._write_record(step, result, scope, left))
        except NotStorable as error:
            self._run.notify(Note(step.id, "warning", _NOT_KEPT, {"reason": error.message}))
        except BaseException as raised:  # noqa: BLE001 - outputs of a plugin may have no JSON form
            why = self.explain_stop(as_step_error(raised))
            message = f"done, but the state could not be written: {why.message}"
            failure = Failure(why.type, message, why.hint)
            return replace(result, status="failed", error=failure)
        return result

    def flush(self) -> None:
        """Writes the steps of a group that are not written yet. Raises StepError."""
        self._work.execute(self._state.flush)

    def explain_stop(self, error: StepError) -> StepError:
        """Returns the loss of the lock if that is why the step was stopped, else the error."""
        lost = self._state.lost
        return lost if lost is not None and error.type == "Stopped" else error

    def release(self) -> None:
        """Gives up the lock; a failure is logged."""
        key = self._state.key
        if self._work.hangs:
            _LOG.warning("the lock of run key %s is not released: its state does not answer", key)
            return
        stopping = self._run.environment.cancel.is_set()
        seconds = GRACE_SECONDS if stopping else _RELEASE_SECONDS
        try:
            run_with_timeout(self._state.release, Cancel(), seconds, 0)
        except StepError as error:
            _LOG.warning("the lock of run key %s could not be released: %s", key, error)

    def _stop_run(self) -> None:
        """Cancels the run: its lock is lost, or soon will be."""
        if self._state.lost is not None:
            self._run.notify(Note("", "error", self._state.lost.message, {}))
        self._run.environment.cancel.set()

    def _write_record(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> None:
        self._run.work_notes.drop_step(step.id)
        if has_secret_text(result.outputs):  # secrets are not stored
            self._state.drop_step(step.id)
            values = {"reason": "its outputs hold secrets"}
            self._run.notify(Note(step.id, "info", _NOT_KEPT, values))
            return
        digests = fingerprint(fingerprint_inputs(step, scope))
        run_id, seconds = self._run.run_id, result.seconds
        record = StepRecord(result.status, result.outputs, digests, run_id, seconds)
        soon = not self._is_written_at_once(step)
        self._state.record_step(step.id, record, left, soon=soon)

    def _is_written_at_once(self, step: Step) -> bool:
        """Returns False for a step that is written with others, within seconds."""
        action = self._run.environment.actions[step.action]
        is_repeatable = is_idempotent(step) and not removes_objects(step, action)
        return not (is_inside_group(step.id) and is_repeatable)
