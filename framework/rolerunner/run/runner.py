"""Plan -> RunResult: every distinct role assumed, then the steps as what they wait for ends, each ending as a value."""

from __future__ import annotations

import heapq
import logging
import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import as_step_error
from rolerunner.common.json_values import safe_text
from rolerunner.errors import RoleRefused, RolesRefused, StepError, UsageError
from rolerunner.events import (
    Note,
    RoleAssumed,
    RoleWasRefused,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from rolerunner.model import JOB, Failure, Role, RoleUse, RunResult, StatePlace, Step, StepResult
from rolerunner.plan.planning import state_prefix
from rolerunner.redaction.redact import has_secret_text, redact_text, seal_outputs
from rolerunner.run.attempts import (
    Executed,
    execute,
    is_idempotent,
    is_outcome_known,
    is_wanted,
    made_of,
    run_with_timeout,
)
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.spec.expressions import Template
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rolerunner.events import Event, Observer
    from rolerunner.model import Job, Plan
    from rolerunner.run.state.run_state import (  # imported below where a job keeps state, as few do
        Done,
        Place,
        State,
    )

__all__ = ["RunEnvironment", "run"]

T = TypeVar("T")
_LOG = logging.getLogger("rolerunner")
_NOT_KEPT = "not kept in the state, so a resumed run does it again"
_LOOK = 0.1
"""Seconds that the thread which handles signals blocks at most while steps run."""
_STATE_GRACE = 1.0
"""Seconds that work on the state may take once the run is to stop: with a step's own grace it ends within five."""
_CLOSE_SECONDS = 60.0
"""Seconds after which a lock that cannot be given back is left to become stale."""
_AT_ONCE = 16
"""Roles assumed side by side before the first step."""


@dataclass(frozen=True)
class RunOptions:
    """Which state a run keeps, and which steps it is about."""

    key: str = ""
    """The run key; empty: the run's own id."""
    must_exist: bool = False
    take_over: bool = False
    only: frozenset[str] = frozenset()
    """Ids of the steps to run; empty: all."""


def run(
    plan: Plan, run_id: str, environment: RunEnvironment, options: Optional[RunOptions] = None
) -> RunResult:
    """Run the plan. A failed step is in the result.

    Raises RolesRefused for roles refused before the first step, StateHeld and UsageError where the state says no.
    """
    this = _Run(plan, run_id, environment, options or RunOptions())
    try:
        with environment.start_workers():  # before anything that has threads
            return this.result()
    except BaseException as error:
        this.end_early(error)
        raise


class _Run:
    """One run. Results are written by the thread that called ``run`` alone; steps work in threads of a pool."""

    def __init__(
        self, plan: Plan, run_id: str, environment: RunEnvironment, options: RunOptions
    ) -> None:
        self.plan = plan
        self.options = options
        self.state: Optional[State] = None
        self.state_hangs = False
        """Was work on the state left behind?"""
        self.again: set[str] = set()
        """Steps that this run does, and did not skip as done: what depends on them is done again too."""
        self.job = plan.job
        self.environment = environment
        self.shared = RunContext(
            run_id,
            plan.job.params,
            environment,
            plan.job.max_parallel,
            self._tell,
            plan.job.state is not None,
        )
        self.started = datetime.now(timezone.utc)
        self.clock = time.monotonic()
        self.results: dict[str, StepResult] = {}
        self.broken: set[str] = set()
        """Steps that failed, or that stand behind one that did."""
        self.refusals: dict[str, RoleRefused] = {}
        """Role -> why it was refused before the first step; then only steps for failures run."""
        self.failed = False
        self.running: dict[Future[StepResult], Step] = {}
        self.finished = False
        self.error = ""
        self.telling = threading.RLock()

    def result(self) -> RunResult:
        self._tell(RunStarted(self.shared.run_id, self.plan))
        for role, notes in self.plan.narrowed.items():
            for note in notes:
                whose = f"{role} ({role.step})" if role.step else str(role)
                self._tell(Note("", "warning", f"session policy of {whose}: {note}", {}))
        if self.job.assume == "first":
            self._assume_all()
        if self.refusals:
            self._run_steps()
            raise RolesRefused(
                tuple(self.refusals.values()),
                ran_any=any(result.attempts for result in self.results.values()),
            )
        self._take_state()
        try:
            if not self.environment.cancel.is_set():
                self._check_choice()
            self._run_steps()
        finally:
            self._give_state_back()
        return self._finish(self._status())

    def end_early(self, error: BaseException) -> None:
        """Finish a run that an exception has ended, unless it is finished: its observers are told all the same."""
        if self.finished:
            return
        interrupted = isinstance(error, KeyboardInterrupt)
        self.environment.cancel.set()  # for whatever still runs
        for future, step in self.running.items():
            if future.done():
                self.results[step.id] = future.result()
        for step in self.job.steps:
            self.results.setdefault(step.id, _unreached(step, "not_run"))
        failure = as_step_error(error)
        if not interrupted:
            self.failed = True
        told = Failure(failure.type, redact_text(failure.message), redact_text(failure.hint))
        self._finish("stopped" if interrupted else "failed", told)

    def _status(self) -> str:
        statuses = {result.status for result in self.results.values()}
        if self.state is not None and self.state.lost is not None:
            return "failed"
        if self.environment.cancel.is_set() and statuses & {"failed", "not_run"}:
            return "stopped"
        late = any(
            result.error is not None and result.error.type == "Deadline"
            for result in self.results.values()
        )
        if self.failed or late:
            return "failed"
        return "warning" if statuses & {"failed", "warning"} else "succeeded"

    def _finish(self, status: str, error: Optional[Failure] = None) -> RunResult:
        steps = tuple(
            self.results[planned.step.id]
            for planned in self.plan.steps
            if planned.step.id in self.results
        )
        result = RunResult(
            self.shared.run_id, self.job.name, status, self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            round(time.monotonic() - self.clock, 3), tuple(self._role_uses()), steps, error or self._why_stopped(),
        )  # fmt: skip
        self._tell(RunFinished(result))
        self.finished = True
        return result

    def _why_stopped(self) -> Optional[Failure]:
        lost = self.state.lost if self.state is not None else None
        return Failure(lost.type, lost.message, lost.hint) if lost is not None else None

    def _role_uses(self) -> list[RoleUse]:
        sessions = self.environment.sessions
        used = (
            [JOB]
            if any(role.is_job for step in self.job.steps for role in step.roles.values())
            else []
        )
        return [
            RoleUse(
                str(role),
                role.arn,
                sessions.session_arn(role),
                sessions.count_assume_calls(role),
                role.step,
            )
            for role in (*used, *self.plan.roles)
        ]

    # roles

    def _assume_all(self) -> None:
        """Every distinct role at once, each after the role it is reached through; all refusals together."""
        if not self.plan.roles and not any(step.roles for step in self.job.steps):
            return
        try:
            run_with_timeout(self._assume_each, Cancel(self.environment.cancel), None, 0)
        except StepError:
            if not self.environment.cancel.is_set():
                raise
        for refusal in self.refusals.values():
            self.failed, self.error = True, self.error or redact_text(refusal.message)

    def _assume_each(self) -> None:
        self.environment.sessions.assume(JOB)
        with ThreadPool(_AT_ONCE, thread_name_prefix="rolerunner-role") as pool:
            for event in pool.map(self._assume, self.plan.roles):  # told in the order of the plan
                self._tell(event)
                if isinstance(event, RoleWasRefused):
                    self.refusals[event.refusal.role] = event.refusal

    def _assume(self, role: Role) -> Union[RoleAssumed, RoleWasRefused]:
        began = time.monotonic()
        try:
            if self.environment.cancel.is_set():
                raise StepError("stopped before it was assumed", type="Stopped")
            self.environment.sessions.assume(role)
        except RoleRefused as refusal:
            return RoleWasRefused(refusal)
        return RoleAssumed(
            str(role), self.environment.sessions.session_arn(role), time.monotonic() - began
        )

    def _refused(self, step: Step) -> Optional[Failure]:
        """Why a role of the step was refused; None where none was."""
        refusal = next(
            (
                self.refusals[str(role)]
                for role in step.roles.values()
                if str(role) in self.refusals
            ),
            None,
        )
        return Failure(refusal.type, refusal.message, refusal.hint) if refusal is not None else None

    # state

    def _take_state(self) -> None:
        """Hold the run key, if the job keeps state. Raises StateHeld, UsageError, StepError as UsageError."""
        place = self.job.state
        if place is None:
            if self.options.key:
                raise UsageError(
                    "the spec keeps no state, so there is nothing to resume; say 'state: {location: ...}' in it"
                )
            return
        from rolerunner.run.state.run_state import Holder, hold  # noqa: PLC0415

        key, holder = (
            self.options.key or self.shared.run_id,
            Holder.now(self.shared.run_id, place.stale_after),
        )
        options = self.options
        try:
            kept = self._place(place)
            self.state = self._with_state(
                lambda: hold(
                    kept,
                    self.job.name,
                    key,
                    holder,
                    must_exist=options.must_exist,
                    take_over=options.take_over,
                )
            )
        except StepError as error:
            if self.environment.cancel.is_set():
                return  # stopped while it waited: no step begins
            raise UsageError(
                f"the state at {place.location} cannot be used: {error.message}"
                + (f"\n{error.hint}" if error.hint else "")
            ) from None
        self.state.keep_until_closed(self._on_lost)
        self.started = datetime.fromisoformat(self.state.started)
        self.shared.notify(
            Note(
                "", "info", "state_held", {"key": self.state.key, "resumes": not self.state.is_new}
            )
        )

    def _place(self, place: StatePlace) -> Place:
        from rolerunner.run.state.run_state import Bucket, Folder  # noqa: PLC0415

        if place.role is None:
            return Folder(Path(place.location).expanduser().absolute())
        return Bucket(self.environment.open_storage(place.role, None, None), state_prefix(place))

    def _with_state(self, work: Callable[[], T]) -> T:
        """Work on the state. A place that hangs holds nothing: once the run is to stop, the work is left behind. Raises StepError."""
        try:
            return run_with_timeout(work, Cancel(self.environment.cancel), None, _STATE_GRACE)
        except StepError as error:
            self.state_hangs = self.state_hangs or error.still_runs
            raise

    def _on_lost(self) -> None:
        """Stop: the run key is not this run's any more, or will not be soon."""
        if self.state is not None and self.state.lost is not None:
            self._tell(Note("", "error", self.state.lost.message, {}))
        self.environment.cancel.set()

    def _give_state_back(self) -> None:
        if self.state is not None and self.state_hangs:
            _LOG.warning(
                "the lock of run key %s is not given back: its state does not answer",
                self.state.key,
            )
        elif self.state is not None:
            seconds = _STATE_GRACE if self.environment.cancel.is_set() else _CLOSE_SECONDS
            try:
                run_with_timeout(self.state.close, Cancel(), seconds, 0)
            except StepError as error:
                _LOG.warning(
                    "the lock of run key %s could not be given back: %s", self.state.key, error
                )

    def _check_choice(self) -> None:
        """What the chosen steps read of others must be known. Raises UsageError."""
        only = self.options.only
        for step in self.job.steps:
            if step.id in only:
                unknown = [
                    name
                    for name in step.references
                    if name not in only and self._known(name) is None
                ]
                if unknown:
                    raise UsageError(
                        f"'{step.id}' reads from '{unknown[0]}', which is not to run and has no state; name a run with --resume KEY"
                    )

    def _known(self, step: str) -> Optional[Done]:
        """What the state holds of a step."""
        return self.state.done(step) if self.state is not None else None

    def _done_before(self, step: Step) -> Optional[StepResult]:
        """The result of a step that need not be done again; None for one that must, which says why."""
        done = self._known(step.id)
        if self.options.only:
            if step.id in self.options.only:
                return None
            reason = "it was not asked for"
            return (
                self._not_asked(step, done, reason)
                if done is not None
                else _unreached(step, "skipped", reason=reason)
            )
        if self.state is not None and step.id in self.state.begun and not is_idempotent(step):
            return _unreached(step, "failed", _unknown_outcome(step, self.state.begun[step.id]))
        if done is None:
            return None
        from rolerunner.run.state.run_state import NotWhole  # noqa: PLC0415

        why = self._why_again(step, done)
        if not why:
            try:
                return self._resumed(step, done, f"done in run {done.run_id}")
            except NotWhole as error:
                why = error.message
        self.shared.notify(Note(step.id, "info", "done_again", {"reason": why}))
        return None

    def _not_asked(self, step: Step, done: Done, reason: str) -> StepResult:
        """The result of a step that was done and is not asked for; that its files changed is the user's to know."""
        from rolerunner.run.state.run_state import NotWhole  # noqa: PLC0415

        change = self._change_of(step, done)
        if change:
            self.shared.notify(
                Note(
                    step.id,
                    "warning",
                    "it is not done again, though what it left changed",
                    {"reason": change},
                )
            )
        try:
            return self._resumed(step, done, reason)
        except NotWhole as error:
            return _unreached(
                step,
                "failed",
                Failure(
                    error.type, error.message, f"name the step with --only, too: --only {step.id}"
                ),
            )

    def _why_again(self, step: Step, done: Done) -> str:
        """Why a step that was done before is to be done again; empty where it is not."""
        needed = next((name for name in step.needs if name in self.again), None)
        if needed is not None:
            return f"it depends on '{needed}', which is done again"
        from rolerunner.run.state.run_state import fingerprint  # noqa: PLC0415

        try:
            now = fingerprint(made_of(step, self._scope(step)))
        except StepError as error:
            return error.message
        changed = [
            name
            for name in (*now, *done.fingerprint)
            if now.get(name) != done.fingerprint.get(name)
        ]
        if changed:
            return f"its '{changed[0]}' changed"
        if has_secret_text(seal_outputs(done.outputs, step.secret_outputs)):
            return "what it gave is secret, and an earlier run kept it"
        change = self._change_of(step, done)
        if change:
            self.shared.distrusted.add(step.id)
        return change

    def _change_of(self, step: Step, done: Done) -> str:
        """Why what the step left on this machine cannot be believed; empty where it is as it was."""
        state, environment = self.state, self.environment
        assert state is not None  # noqa: S101 - it told what is done
        if not done.tells_left and environment.actions[step.action].writes_local_files:
            return "a release of rolerunner did it that did not write down its files"
        try:
            return self._with_state(
                lambda: state.change_of(done, environment.workdir, environment.cancel)
            )
        except StepError as error:
            return f"what it left cannot be looked at: {error.message}"

    def _resumed(self, step: Step, done: Done, reason: str) -> StepResult:
        """The result of a step that is not done again. Raises NotWhole."""
        state, workdir = self.state, self.environment.workdir
        assert state is not None  # noqa: S101 - it told what is done
        from rolerunner.run.state.run_state import NotWhole  # noqa: PLC0415

        try:
            outputs = seal_outputs(
                self._with_state(lambda: state.brought_back(done, workdir)), step.secret_outputs
            )
        except NotWhole:
            raise
        except StepError as error:
            return _unreached(
                step,
                "failed",
                Failure(
                    error.type, f"what it gave cannot be brought back: {error.message}", error.hint
                ),
            )
        return StepResult(
            step.id,
            step.action,
            str(step.role or ""),
            "skipped",
            outputs=outputs,
            reason=reason,
            was=done.status,
        )

    def _record(
        self, step: Step, result: StepResult, scope: Mapping[str, Any], left: Sequence[Path]
    ) -> StepResult:
        """Keep what the step did before anything that depends on it begins; where that fails, so does the step."""
        state = self.state
        if state is None or result.status not in ("succeeded", "warning"):
            return result
        from rolerunner.run.state.run_state import Done, NotKept, fingerprint  # noqa: PLC0415

        def record() -> None:
            if has_secret_text(
                result.outputs
            ):  # secrets are not stored: a resumed run does the step again
                state.drop(step.id)
                self.shared.notify(
                    Note(step.id, "info", _NOT_KEPT, {"reason": "its outputs hold secrets"})
                )
                return
            done = Done(
                result.status,
                result.outputs,
                fingerprint(made_of(step, scope)),
                self.shared.run_id,
                result.seconds,
            )
            state.record(step.id, done, left)

        try:
            self._with_state(record)
        except NotKept as error:
            self.shared.notify(Note(step.id, "warning", _NOT_KEPT, {"reason": error.message}))
        except BaseException as raised:  # noqa: BLE001 - what a plugin gives may have no JSON form
            why = self._lost_or(as_step_error(raised))
            return replace(
                result,
                status="failed",
                error=Failure(
                    why.type, f"done, but the state could not be written: {why.message}", why.hint
                ),
            )
        return result

    # order

    def _run_steps(self) -> None:
        """Start each step when all it waits for has ended: in the order of the file, max_parallel at once."""
        steps = {step.id: (position, step) for position, step in enumerate(self.job.steps)}
        waits = {step.id: len(step.needs) for step in self.job.steps}
        followers: dict[str, list[str]] = {}
        for step in self.job.steps:
            for need in step.needs:
                followers.setdefault(need, []).append(step.id)
        ready = [steps[id_][0] for id_, count in waits.items() if count == 0]
        heapq.heapify(ready)
        running = self.running
        with (
            ThreadPool(self.job.max_parallel, thread_name_prefix="rolerunner-step") as pool,
            self._stopping_on_error(),
        ):
            while ready or running:
                ended = []
                while ready and len(running) < self.job.max_parallel:
                    step = self.job.steps[heapq.heappop(ready)]
                    verdict = self._decide(step)
                    if verdict is None:
                        self.again.add(step.id)
                        running[pool.submit(self._step, step, self._scope(step))] = step
                    else:
                        ended.append((step, verdict))
                        break
                if not ended:
                    # Python handles signals in this thread alone, and one that comes just before it blocks does not wake it
                    done, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
                    ended = [(running.pop(future), future.result()) for future in done]
                for step, result in ended:
                    self._ended(step, result)
                    for follower in followers.get(step.id, ()):
                        waits[follower] -= 1
                        if waits[follower] == 0:
                            heapq.heappush(ready, steps[follower][0])

    @contextmanager
    def _stopping_on_error(self) -> Iterator[None]:
        """Stop the steps that run where this thread cannot go on, so that they do not hold it."""
        try:
            yield
        except BaseException:
            self.environment.cancel.set()
            raise

    def _decide(self, step: Step) -> Optional[StepResult]:
        """None for a step that is to run, else how it ends without running."""
        try:
            return self._verdict(step) or self._done_before(step)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin's code may raise anything
            failure = as_step_error(error)
            return _unreached(step, "failed", Failure(failure.type, failure.message, failure.hint))

    def _ended(self, step: Step, result: StepResult) -> None:
        result = _without_secrets(
            result
        )  # before anybody hears of it: expressions read run.error, and callers the result
        self.results[step.id] = result
        fails = result.status == "failed" and step.on_error == "fail"
        unreached = bool(self.refusals) and result.status == "not_run"
        if fails or unreached or any(need in self.broken for need in step.needs):
            self.broken.add(step.id)
        self.failed = self.failed or fails
        if fails and not self.error and result.error is not None:
            self.error = f"{step.id}: {result.error.message}"
        self._tell(StepFinished(result))

    def _verdict(self, step: Step) -> Optional[StepResult]:
        """None for a step that is to run, else how it ends without running."""
        broken = any(need in self.broken for need in step.needs)
        if self.state is not None and self.state.lost is not None:
            lost = self.state.lost
            return _unreached(step, "not_run", Failure(lost.type, lost.message, lost.hint))
        if self.environment.cancel.is_set():
            return _unreached(step, "not_run")
        if self.refusals and (step.when == "on_success" or self._refused(step)):
            return _unreached(step, "not_run", self._refused(step))
        if self.job.deadline is not None and time.monotonic() - self.clock > self.job.deadline:
            return _unreached(
                step,
                "not_run",
                Failure("Deadline", f"the job's deadline of {self.job.deadline:g} s had passed"),
            )
        if step.when == "always":
            return None
        if step.when == "on_failure":
            return None if broken else _unreached(step, "skipped")
        if isinstance(step.when, Template) and (not broken or _looks_at_failure(step.when)):
            return self._conditional(step)
        stopped = broken or (self.failed and self.job.on_failure == "stop")
        return _unreached(step, "not_run") if stopped else None

    def _conditional(self, step: Step) -> Optional[StepResult]:
        try:
            return None if is_wanted(step, self._scope(step)) else _unreached(step, "skipped")
        except StepError as error:
            return _unreached(step, "failed", Failure(error.type, error.message, error.hint))

    # steps

    def _step(self, step: Step, scope: Mapping[str, Any]) -> StepResult:
        began = time.monotonic()
        try:
            self._tell(
                StepStarted(
                    step, self.environment.sessions.session_arn(step.role) if step.role else ""
                )
            )
            self._begin(step)
            done = execute(
                step, scope, self.shared, resuming=self.state is not None and not self.state.is_new
            )
            status, failure = ("warning", done.warning) if done.warning else ("succeeded", None)
        except BaseException as raised:  # noqa: BLE001 - whatever an action, a plugin or a function raises ends its step alone
            error = as_step_error(raised)
            self._forget(step, error)
            done = Executed({}, error.attempts)
            why = self._lost_or(error)
            status, failure = "failed", Failure(why.type, why.message, why.hint)
        seconds = round(time.monotonic() - began, 3)
        result = StepResult(
            step.id,
            step.action,
            str(step.role or ""),
            status,
            done.attempts,
            seconds,
            done.outputs,
            failure,
        )
        return self._record(step, result, scope, done.left)

    def _begin(self, step: Step) -> None:
        """Write down that a call begins which must not be made twice. Raises StepError."""
        state = self.state
        if state is not None and not is_idempotent(step):
            self._with_state(lambda: state.begin(step.id))

    def _forget(self, step: Step, error: StepError) -> None:
        """Take that back where the call is known to have failed; where this cannot be written, a resumed run asks the user."""
        state = self.state
        if state is not None and not is_idempotent(step) and is_outcome_known(step, error):
            with suppress(StepError):
                self._with_state(lambda: state.forget(step.id))

    def _lost_or(self, error: StepError) -> StepError:
        """Why a step was stopped: the loss of the lock, where that is the reason."""
        lost = self.state.lost if self.state is not None else None
        return lost if lost is not None and error.type == "Stopped" else error

    def _scope(self, step: Step) -> dict[str, Any]:
        """What the step's expressions can read: of other steps only those it names."""
        read = {id_: self.results[id_] for id_ in step.references if id_ in self.results}
        steps = {
            id_: {**result.outputs, "status": result.was or result.status}
            for id_, result in read.items()
        }
        return _names(self.job, self.shared.run_id, self.started, steps, self.error)

    def _tell(self, event: Event) -> None:
        """Hand an event to each observer, one at a time; one that fails is logged and does not fail the run."""
        with self.telling:
            if self.finished:  # work that was abandoned may still speak
                return
            for observer in self.environment.observers:
                try:
                    observer.notify(event)
                except BaseException as error:  # noqa: BLE001
                    self._observer_failed(observer, event, error)

    def _observer_failed(self, observer: Observer, event: Event, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt) and _may_be_a_signal():
            self.environment.cancel.set()
        with suppress(Exception):  # the log may be what failed
            _LOG.warning(
                "%s failed on %s: %s",
                type(observer).__name__,
                type(event).__name__,
                safe_text(error),
            )


def _may_be_a_signal() -> bool:
    """Returns True where Ctrl-C would raise KeyboardInterrupt in this thread: nobody has a handler of their own."""
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def _names(
    job: Job, run_id: str, now: datetime, steps: Optional[Mapping[str, Any]] = None, error: str = ""
) -> dict[str, Any]:
    """What expressions can read."""
    about = {"id": run_id, "name": job.name, "date": now.date(), "time": now, "error": error}
    return {
        "params": job.params,
        "steps": steps or {},
        "run": about,
        "today": now.date(),
        "now": now,
    }


def _unknown_outcome(step: Step, run_id: str) -> Failure:
    return Failure(
        "OutcomeUnknown",
        f"run {run_id} began this step, and neither how it ended nor what it gave is known; it is not called again ('idempotent: false')",
        f"find out whether it took effect; then call it again with --only {step.id}, or go on with the steps after it with --from",
    )


def _looks_at_failure(when: Template) -> bool:
    """Does an expression read how a step ended or why? Then it decides after a failure too."""
    return any(
        reference.path == ("run", "error") or reference.path[-1] == "status"
        for reference in when.references
    )


def _without_secrets(result: StepResult) -> StepResult:
    error = result.error
    redacted = (
        None
        if error is None
        else Failure(error.type, redact_text(error.message), redact_text(error.hint))
    )
    return replace(result, error=redacted, reason=redact_text(result.reason))


def _unreached(
    step: Step, status: str, failure: Optional[Failure] = None, *, reason: str = ""
) -> StepResult:
    return StepResult(
        step.id, step.action, str(step.role or ""), status, error=failure, reason=reason
    )
