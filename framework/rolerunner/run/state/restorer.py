"""Decides which steps of an earlier run need not run again, and restores their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import StepError
from rolerunner.events import Note
from rolerunner.model import Failure, StepResult
from rolerunner.redaction.sealing import has_secret_text, seal_outputs
from rolerunner.run.idempotency import is_idempotent
from rolerunner.run.inputs import fingerprint_inputs
from rolerunner.run.results import unstarted_result
from rolerunner.run.resume import NOT_SELECTED, ReadScope
from rolerunner.run.state.fingerprint import fingerprint
from rolerunner.run.state.lists import ListDamaged
from rolerunner.run.state.step_record import StepRecord, find_left_change, restore_outputs

if TYPE_CHECKING:
    from rolerunner.model import Step
    from rolerunner.run.environment import RunContext
    from rolerunner.run.state.run_state import RunState
    from rolerunner.run.state.state_work import StateWork


class StepRestorer:
    """Restores the results of completed steps from a state."""

    def __init__(self, state: RunState, run: RunContext, work: StateWork) -> None:
        self._state = state
        self._run = run
        self._work = work

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
                return self._skip_step(step, record, f"completed by run {record.run_id}")
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
            message = "it is not repeated, although the files that it left changed"
            self._run.notify(Note(step.id, "warning", message, {"reason": change}))
        try:
            return self._skip_step(step, record, NOT_SELECTED)
        except ListDamaged as error:
            hint = f"name the step with --only, too: --only {step.id}"
            return unstarted_result(step, "failed", Failure(error.type, error.message, hint))

    def _why_repeat(
        self, step: Step, record: StepRecord, read_scope: ReadScope, repeated: set[str]
    ) -> str:
        """Returns why a completed step must run again; empty if it need not."""
        needed = next((name for name in step.needs if name in repeated), None)
        if needed is not None:
            return f"it depends on '{needed}', which runs again"
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
            return "an earlier release completed it without recording its files"
        store, workdir, cancel = self._state.store, environment.workdir, environment.cancel
        try:
            return self._work.execute(lambda: find_left_change(record, store, workdir, cancel))
        except StepError as error:
            return f"the files that it left cannot be read: {error.message}"

    def _skip_step(self, step: Step, record: StepRecord, reason: str) -> StepResult:
        """Returns the result of a step that is not run again. Raises ListDamaged."""
        store, workdir = self._state.store, self._run.environment.workdir
        try:
            restored = self._work.execute(lambda: restore_outputs(record, store, workdir))
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
