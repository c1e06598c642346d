"""The attempts of one step, or of one item of it: retries, deadlines, the files it leaves."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.base import StepContext
from rolerunner.actions.listed_objects import read_listed_objects
from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import as_step_error
from rolerunner.errors import StepError
from rolerunner.events import Note
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure
from rolerunner.redaction.sealing import seal_outputs
from rolerunner.run.environment import RunContext
from rolerunner.run.idempotency import NOT_RECORDED, can_retry
from rolerunner.run.inputs import build_action, fingerprint_inputs
from rolerunner.run.progress import throttle
from rolerunner.run.timeouts import ABANDONED_CALLS, BackgroundWork, run_with_timeout
from rolerunner.run.work_notes import StartedWork
from rolerunner.selection.collisions import ClaimedNames

if TYPE_CHECKING:
    from collections.abc import Callable

    import tenacity

    from rolerunner.actions.base import Action
    from rolerunner.events import StepProgress
    from rolerunner.model import Step
    from rolerunner.storage.workers.distributed import Distribution


@dataclass(frozen=True)
class CompletedWork:
    """The outputs and warning of a step."""

    outputs: Mapping[str, Any]
    attempts: int
    warning: Optional[Failure] = None
    left: tuple[Path, ...] = ()
    """Lists of the files left on this machine, one for each item that left any."""


@dataclass
class StepAttempts:
    """Runs a step's action, again after failures that may pass."""

    step: Step
    scope: Mapping[str, Any]
    run: RunContext
    workdir: Path
    deadline: Optional[float] = None
    """On the clock of ``time.monotonic``."""
    is_resumed: bool = False
    """True if an earlier run may have done a part of the step."""
    attempts: int = 0
    target_claims: Optional[ClaimedNames] = None
    notify_progress: Optional[Callable[[StepProgress], None]] = None
    """Takes the progress; None reports it as the step's own."""

    def execute(self) -> CompletedWork:
        """Returns what the step produced. Raises StepError."""
        try:
            action = self.build_action()
            outputs = self._attempt_with_retries(action)
            sealed = seal_outputs(outputs, self.step.secret_outputs)
            warning = getattr(outputs, "warning", None)
            left = self._record_files(action, outputs)
            return CompletedWork(sealed, self.attempts, warning, left)
        except BaseException as error:
            failure = as_step_error(error)
            failure.attempts = self.attempts or 1
            raise failure from error

    def build_action(self) -> Action:
        """Returns the step's action with every template resolved. Raises FieldError."""
        return build_action(self.step, self.scope, self.run.environment.actions)

    def build_context(self, cancel: Cancel) -> StepContext:
        """Returns what the action may use besides its fields."""
        environment, step, run = self.run.environment, self.step, self.run
        return StepContext(
            step_id=step.id,
            run_id=run.run_id,
            roles=step.roles,
            sessions=environment.sessions,
            open_storage=environment.open_storage,
            workdir=self.workdir,
            project=environment.project,
            params=run.params,
            cancel=cancel,
            progress=self.notify_progress or throttle(run.notify),
            note=lambda level, message, values: run.notify(Note(step.id, level, message, values)),
            is_resumed=self.is_resumed or self.attempts > 1,
            outputs_changed=step.id in run.distrusted,
            is_retry=self.attempts > 1,
            open_cluster=environment.open_cluster,
            in_sandbox=environment.in_sandbox,
            workspace=environment.workspace,
            target_claims=self.target_claims,
            started_work=self._find_started_work(),
        )

    def _find_started_work(self) -> StartedWork:
        """Returns the note about the work that the step, or this item of it, starts elsewhere."""
        step, run = self.step, self.run
        folder = os.path.relpath(self.workdir, run.environment.workdir)
        return StartedWork(
            f"{folder}/{step.id}", step, run.run_id, self._fingerprint, run.work_notes
        )

    def _fingerprint(self) -> Mapping[str, str]:
        from rolerunner.run.state.fingerprint import fingerprint  # noqa: PLC0415 - few steps

        return fingerprint(fingerprint_inputs(replace(self.step, for_each=None), self.scope))

    def _attempt_with_retries(self, action: Action) -> Mapping[str, Any]:
        retry = self.step.retry
        if retry.attempts == 1:
            return self._run_attempt(action)
        import tenacity  # noqa: PLC0415 - imports asyncio, 25 ms that most runs do not need

        growing = tenacity.wait_exponential(
            multiplier=retry.delay, exp_base=retry.backoff, max=retry.max_delay
        )
        jitter = tenacity.wait_random(0, retry.delay / 2)  # spreads jobs that failed together
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(retry.attempts),
            wait=growing + jitter,
            retry=tenacity.retry_if_exception(self._should_retry),
            sleep=self._wait_seconds,
            before_sleep=self._notify_retry,
            reraise=True,
        )
        outputs: Mapping[str, Any] = retrying(self._run_attempt, action)
        return outputs

    def _run_attempt(self, action: Action) -> Mapping[str, Any]:
        run = self.run
        if run.environment.cancel.is_set():
            raise StepError("stopped before it started", type="Stopped")
        self.attempts += 1
        limits = [self.step.attempt_timeout, self._remaining_seconds()]
        timeout = min((limit for limit in limits if limit is not None), default=None)
        cancel = Cancel(run.environment.cancel)
        open_cluster = self._choose_cluster(action)
        ABANDONED_CALLS.check_ended(self.step, action)
        context = replace(self.build_context(cancel), open_cluster=open_cluster)
        work = BackgroundWork(
            lambda: read_listed_objects(action, context).run(context), "rolerunner-try"
        )
        try:
            return run_with_timeout(work, cancel, timeout)
        except StepError as error:
            if error.still_runs:
                ABANDONED_CALLS.add(self.step, action, work)
            raise

    def _choose_cluster(self, action: Action) -> Optional[Callable[[], Distribution]]:
        """Returns how to open the cluster of ``distribute``; None, with a note, if none fits."""
        environment = self.run.environment
        distribute = getattr(action, "distribute", None)
        if distribute is None:
            return None
        obstacle = environment.find_cluster_obstacle()
        if not obstacle:
            return environment.open_cluster
        if distribute == "auto":
            note = Note(self.step.id, "info", f"stays on this machine: {obstacle}", {})
        else:
            message = f"'distribute' is ignored, the step runs in this process: {obstacle}"
            note = Note(self.step.id, "warning", message, {})
        self.run.notify(note)
        return None

    def _should_retry(self, error: BaseException) -> bool:
        in_time = self.deadline is None or time.monotonic() < self.deadline
        cancelled = self.run.environment.cancel.is_set()
        return in_time and can_retry(self.step, error) and not cancelled

    def _wait_seconds(self, seconds: float) -> None:
        left = self._remaining_seconds()
        self.run.environment.cancel.wait(seconds if left is None else min(seconds, left))

    def _remaining_seconds(self) -> Optional[float]:
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    def _notify_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        values = {"after": round(seconds, 2), "attempt": self.attempts, "error": str(error)}
        self.run.notify(Note(self.step.id, "warning", "tried again", values))

    def _record_files(self, action: Action, outputs: Mapping[str, Any]) -> tuple[Path, ...]:
        """Lists the files that the step left on this machine, if the run keeps state.

        Raises StepError.
        """
        if not self.run.keeps_state:
            return ()
        from rolerunner.run.state.leftovers import write_left  # noqa: PLC0415 - few jobs keep state

        context = self.build_context(self.run.environment.cancel)
        path = context.manifest_path(".left")
        try:
            count = write_left(action.tracked_paths(context, outputs), path, context.cancel)
        except StepError as error:
            message = f"done, but the files that it left cannot be read: {error.message}"
            raise StepError(message, hint=error.hint, type=NOT_RECORDED) from error
        return (path,) if count else ()
