"""Resumes a run from the state of its key: which steps are done, and whether that still holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import as_step_error
from rolerunner.errors import StepError, UsageError
from rolerunner.events import Note
from rolerunner.model import Failure, StepResult
from rolerunner.plan.planning import state_prefix
from rolerunner.redaction.sealing import has_secret_text, seal_outputs
from rolerunner.run.idempotency import is_idempotent, is_outcome_known
from rolerunner.run.inputs import fingerprint_inputs
from rolerunner.run.results import unstarted_result
from rolerunner.run.resume import NOT_SELECTED, NoState, ReadScope, ResumeState, RunOptions
from rolerunner.run.state.acquire import acquire_state
from rolerunner.run.state.fingerprint import fingerprint
from rolerunner.run.state.lists import ListDamaged, NotStorable
from rolerunner.run.state.lock_holder import LockHolder
from rolerunner.run.state.run_state import RunState, StepRecord
from rolerunner.run.state.stores import BucketStore, FolderStore, StateStore
from rolerunner.run.timeouts import run_with_timeout

if TYPE_CHECKING:
    from rolerunner.model import Job, StateLocation, Step
    from rolerunner.run.environment import RunContext, RunEnvironment

T = TypeVar("T")
_LOG = logging.getLogger("rolerunner")
_NOT_KEPT = "not kept in the state, so a resumed run does it again"
_GRACE_SECONDS = 1.0
"""Time for work on the state once the run is to stop: with a step's own grace, it ends in five."""
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
                job.name,
                options.run_key or run.run_id,
                holder,
                must_exist=options.must_exist,
                take_over=options.take_over,
            ),
            Cancel(cancel),
            None,
            _GRACE_SECONDS,
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
        self._hangs = False
        """True if work on the state was abandoned."""

    def start(self) -> None:
        """Keeps the lock renewed, and tells the observers about the state."""
        self._state.keep_lock(self._stop_run)
        values = {"key": self._state.key, "resumes": not self._state.is_new}
        self._run.notify(Note("", "info", "state_held", values))

    @property
    def started(self) -> Optional[datetime]:
        """When the first run of the key began."""
        return datetime.fromisoformat(self._state.started)

    @property
    def lost(self) -> Optional[StepError]:
        """Why the lock is lost; None while it is held."""
        return self._state.lost

    @property
    def is_resumed(self) -> bool:
        """True if the state existed before this run."""
        return not self._state.is_new

    def has_step(self, step_id: str) -> bool:
        """Returns True if the outputs of a step are recorded."""
        return self._state.find_step(step_id) is not None

    def restore_result(
        self, step: Step, read_scope: ReadScope, repeated: set[str]
    ) -> Optional[StepResult]:
        """Returns the result of a step that need not run again; None, and a note, if it must."""
        if step.id in self._state.begun and not is_idempotent(step):
            return unstarted_result(step, "failed", _unknown_outcome(step, self._state.begun))
        record = self._state.find_step(step.id)
        if record is None:
            return None
        reason = self._why_repeat(step, record, read_scope, repeated)
        if not reason:
            try:
                return self._skip_step(step, record, f"done in run {record.run_id}")
            except ListDamaged as error:
                reason = error.message
        self._run.notify(Note(step.id, "info", "done_again", {"reason": reason}))
        return None

    def restore_unselected(self, step: Step) -> StepResult:
        """Returns the result of a step that was not selected; warns if its files changed."""
        record = self._state.find_step(step.id)
        if record is None:
            return unstarted_result(step, "skipped", reason=NOT_SELECTED)
        change = self._find_change(step, record)
        if change:
            message = "it is not done again, though what it left changed"
            self._run.notify(Note(step.id, "warning", message, {"reason": change}))
        try:
            return self._skip_step(step, record, NOT_SELECTED)
        except ListDamaged as error:
            hint = f"name the step with --only, too: --only {step.id}"
            return unstarted_result(step, "failed", Failure(error.type, error.message, hint))

    def mark_begun(self, step: Step) -> None:
        """Records that a call begins which must not be repeated. Raises StepError."""
        if not is_idempotent(step):
            self._execute_work(lambda: self._state.mark_begun(step.id))

    def clear_begun(self, step: Step, error: StepError) -> None:
        """Takes that back if the call is known to have failed.

        If that cannot be written, a resumed run asks the user.
        """
        if not is_idempotent(step) and is_outcome_known(step, error):
            with suppress(StepError):
                self._execute_work(lambda: self._state.clear_begun(step.id))

    def record_result(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> StepResult:
        """Records a completed step before its dependents start; if that fails, the step fails."""
        if result.status not in ("succeeded", "warning"):
            return result
        try:
            self._execute_work(lambda: self._write_record(step, result, scope, left))
        except NotStorable as error:
            self._run.notify(Note(step.id, "warning", _NOT_KEPT, {"reason": error.message}))
        except BaseException as raised:  # noqa: BLE001 - outputs of a plugin may have no JSON form
            why = self.explain_stop(as_step_error(raised))
            message = f"done, but the state could not be written: {why.message}"
            failure = Failure(why.type, message, why.hint)
            return replace(result, status="failed", error=failure)
        return result

    def explain_stop(self, error: StepError) -> StepError:
        """Returns the loss of the lock if that is why the step was stopped, else the error."""
        lost = self._state.lost
        return lost if lost is not None and error.type == "Stopped" else error

    def release(self) -> None:
        """Gives up the lock; a failure is logged."""
        key = self._state.key
        if self._hangs:
            _LOG.warning("the lock of run key %s is not released: its state does not answer", key)
            return
        stopping = self._run.environment.cancel.is_set()
        seconds = _GRACE_SECONDS if stopping else _RELEASE_SECONDS
        try:
            run_with_timeout(self._state.release, Cancel(), seconds, 0)
        except StepError as error:
            _LOG.warning("the lock of run key %s could not be released: %s", key, error)

    def _stop_run(self) -> None:
        """Cancels the run: its lock is lost, or soon will be."""
        if self._state.lost is not None:
            self._run.notify(Note("", "error", self._state.lost.message, {}))
        self._run.environment.cancel.set()

    def _execute_work(self, work: Callable[[], T]) -> T:
        """Works on the state; abandons that once the run is to stop. Raises StepError."""
        cancel = Cancel(self._run.environment.cancel)
        try:
            return run_with_timeout(work, cancel, None, _GRACE_SECONDS)
        except StepError as error:
            self._hangs = self._hangs or error.still_runs
            raise

    def _write_record(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> None:
        if has_secret_text(result.outputs):  # secrets are not stored
            self._state.drop_step(step.id)
            values = {"reason": "its outputs hold secrets"}
            self._run.notify(Note(step.id, "info", _NOT_KEPT, values))
            return
        digests = fingerprint(fingerprint_inputs(step, scope))
        run_id, seconds = self._run.run_id, result.seconds
        record = StepRecord(result.status, result.outputs, digests, run_id, seconds)
        self._state.record_step(step.id, record, left)

    def _why_repeat(
        self, step: Step, record: StepRecord, read_scope: ReadScope, repeated: set[str]
    ) -> str:
        """Returns why a completed step must run again; empty if it need not."""
        needed = next((name for name in step.needs if name in repeated), None)
        if needed is not None:
            return f"it depends on '{needed}', which is done again"
        try:
            now = fingerprint(fingerprint_inputs(step, read_scope()))
        except StepError as error:
            return error.message
        before = record.fingerprint
        changed = [name for name in (*now, *before) if now.get(name) != before.get(name)]
        if changed:
            return f"its '{changed[0]}' changed"
        if has_secret_text(seal_outputs(record.outputs, step.secret_outputs)):
            return "its outputs are secret, and an earlier run kept them"
        change = self._find_change(step, record)
        if change:
            self._run.distrusted.add(step.id)
        return change

    def _find_change(self, step: Step, record: StepRecord) -> str:
        """Returns why the files that a step left cannot be trusted; empty if they can."""
        environment = self._run.environment
        if not record.has_left and environment.actions[step.action].writes_local_files:
            return "an earlier release did it, which did not record its files"
        workdir, cancel = environment.workdir, environment.cancel
        try:
            return self._execute_work(lambda: self._state.find_change(record, workdir, cancel))
        except StepError as error:
            return f"the files that it left cannot be read: {error.message}"

    def _skip_step(self, step: Step, record: StepRecord, reason: str) -> StepResult:
        """Returns the result of a step that is not run again. Raises ListDamaged."""
        workdir = self._run.environment.workdir
        try:
            restored = self._execute_work(lambda: self._state.restore_outputs(record, workdir))
        except ListDamaged:
            raise
        except StepError as error:
            message = f"its outputs cannot be restored: {error.message}"
            return unstarted_result(step, "failed", Failure(error.type, message, error.hint))
        skipped = unstarted_result(step, "skipped", reason=reason)
        outputs = seal_outputs(restored, step.secret_outputs)
        return replace(skipped, outputs=outputs, was=record.status)


def _unknown_outcome(step: Step, begun: Mapping[str, str]) -> Failure:
    return Failure(
        "OutcomeUnknown",
        f"run {begun[step.id]} began this step, and neither how it ended nor its outputs are "
        "known; it is not called again ('idempotent: false')",
        "find out whether it took effect; then call it again with "
        f"--only {step.id}, or go on with the steps after it with --from",
    )
