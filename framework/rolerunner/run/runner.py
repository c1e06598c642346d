"""Runs a plan: assumes the roles, then starts each step when those that it needs have ended."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.extras import check_extras
from rolerunner.common.failures import as_step_error, describe_limit
from rolerunner.errors import RolesRefused, SecretsFailed, UsageError
from rolerunner.events import AssumeRoleCalled, RunFinished
from rolerunner.model import Failure, RunResult, StepResult
from rolerunner.run.active_run import ActiveRun
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.notifier import EventNotifier, notify_start
from rolerunner.run.results import RunRecord, describe_failure, redact_failure, unstarted_result
from rolerunner.run.resume import NoState, ResumeState, RunOptions, check_selection, open_state
from rolerunner.run.roles import assume_roles, drop_optional, list_role_uses
from rolerunner.run.scope import build_scope, read_outputs
from rolerunner.run.selection import Selection
from rolerunner.run.sequence import StepSequence
from rolerunner.run.step_run import run_step
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.errors import RoleRefused
    from rolerunner.model import Plan, Role, RunStatus, Step

__all__ = ["RunOptions", "run"]


def run(
    plan: Plan, run_id: str, environment: RunEnvironment, options: Optional[RunOptions] = None
) -> RunResult:
    """Runs the plan. A failed step is part of the result.

    Raises RolesRefused for roles refused before the first step, SecretsFailed for secret params
    that cannot be fetched, StateHeld, UsageError.
    """
    runner = _Runner(plan, run_id, environment, options or RunOptions())
    try:
        with environment.start_workers():  # before anything that starts threads
            return runner.run()
    except BaseException as error:
        runner.abort(error)
        limit = describe_limit(error)
        if limit and not runner.has_begun_steps:
            raise UsageError(f"no step ran: {limit}") from None
        raise


class _Runner:
    """One run. The calling thread alone writes results; steps work in threads of a pool."""

    def __init__(
        self, plan: Plan, run_id: str, environment: RunEnvironment, options: RunOptions
    ) -> None:
        self._plan = plan
        self._job = plan.job
        self._options = options
        self._environment = environment
        self._notifier = EventNotifier(environment.observers, environment.cancel)
        self._context = RunContext(
            run_id,
            plan.job.params,
            environment,
            plan.job.max_parallel,
            self._notifier.notify,
            plan.job.state is not None,
        )
        self._state: ResumeState = NoState()
        self._record = RunRecord()
        self._sequence: Optional[StepSequence] = None
        self._selection = Selection()
        self._started = datetime.now(timezone.utc)
        self._clock = time.monotonic()
        if self._job.telemetry.otlp is not None:
            environment.sessions.on_assume = self._notify_assume

    def run(self) -> RunResult:
        """Runs the job to its end."""
        notify_start(self._plan, self._context.run_id, self._notifier.notify)
        selected = self._options.selection
        check_extras(self._job, self._environment.actions, selected.has_part_of)
        if self._job.assume == "first":
            roles = assume_roles(self._plan, self._environment, self._notifier.notify)
            self._record.add_refusals(drop_optional(roles, self._plan))
        if self._plan.secrets and not self._environment.cancel.is_set():
            self._fetch_secrets()
        if self._record.is_prevented:
            self._run_steps()
            ran_any = any(result.attempts for result in self._record.results.values())
            if self._record.refusals:
                raise RolesRefused(tuple(self._record.refusals.values()), ran_any=ran_any)
            raise SecretsFailed(self._record.unfetched, ran_any=ran_any)
        self._selection = self._options.selection
        self._state = open_state(self._job, self._options, self._context)
        self._started = self._state.started or self._started
        try:
            if not self._environment.cancel.is_set():
                check_selection(self._job, self._selection, self._state)
            self._run_steps()
        finally:
            self._state.release()
        return self._finish(self._find_status())

    @property
    def has_begun_steps(self) -> bool:
        """True once steps may have run."""
        return self._sequence is not None

    def abort(self, error: BaseException) -> None:
        """Writes the result of a run that an exception ended, unless it has one."""
        if self._notifier.is_closed:
            return
        self._environment.cancel.set()  # for steps that still run
        results = self._record.results
        running = {} if self._sequence is None else self._sequence.running
        for future, step in running.items():
            if future.done():
                results[step.id] = future.result()
        for step in self._job.steps:
            results.setdefault(step.id, unstarted_result(step, "not_run"))
        failure = redact_failure(describe_failure(as_step_error(error)))
        if isinstance(error, (RolesRefused, SecretsFailed)):
            failure = replace(failure, message=f"{error.summary}: {failure.message}")
        status: RunStatus = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        self._finish(status, failure)

    def _notify_assume(
        self, role: Role, session_arn: str, seconds: float, refusal: Optional[RoleRefused]
    ) -> None:
        self._notifier.notify(AssumeRoleCalled(str(role), session_arn, seconds, refusal))

    def _fetch_secrets(self) -> None:
        """Adds the values of secret params to the params, and records those that failed."""
        from rolerunner.run.secret_params import fetch_secrets  # noqa: PLC0415 - many specs fetch none

        fetched = fetch_secrets(
            self._plan.secrets, self._environment, self._notifier.notify, self._record.refusals
        )
        self._record.add_refusals(fetched.refusals)
        self._record.add_unfetched(fetched.failures)
        params = {**self._job.params, **fetched.values}
        self._job = replace(self._job, params=params)
        self._context = replace(self._context, params=params)

    def _run_steps(self) -> None:
        """Runs the steps in the order of the file, at most ``max_parallel`` at once."""
        run = ActiveRun(self._job, self._context, self._state, self._selection, self._clock)
        limit = self._job.max_parallel

        def execute(step: Step, scope: Mapping[str, Any], record: RunRecord) -> StepResult:
            if step.steps:
                from rolerunner.run.group import run_group  # noqa: PLC0415 - few jobs have groups

                return run_group(step, scope, run, record)
            return run_step(step, scope, self._context, self._state)

        steps = self._job.steps
        self._sequence = StepSequence(steps, run, self._record, self._read_scope, execute, limit)
        with (
            ThreadPool(limit, thread_name_prefix="rolerunner-step") as pool,
            self._cancel_on_error(),
        ):
            self._sequence.run_steps(pool)

    @contextmanager
    def _cancel_on_error(self) -> Iterator[None]:
        """Stops running steps when this thread cannot go on, so that they do not hold it."""
        try:
            yield
        except BaseException:
            self._environment.cancel.set()
            raise

    def _read_scope(self, step: Step) -> dict[str, Any]:
        outputs = read_outputs(step, self._record.results)
        error = self._record.error
        return build_scope(self._job, self._context.run_id, self._started, outputs, error)

    def _find_status(self) -> RunStatus:
        if self._state.lost is not None:
            return "failed"
        return self._record.find_status(cancelled=self._environment.cancel.is_set())

    def _finish(self, status: RunStatus, error: Optional[Failure] = None) -> RunResult:
        lost, results = self._state.lost, self._record.results
        result = RunResult(
            self._context.run_id,
            self._job.name,
            status,
            self._started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            round(time.monotonic() - self._clock, 3),
            list_role_uses(self._plan, self._environment.sessions),
            tuple(results[step.id] for step in self._job.steps if step.id in results),
            error or (None if lost is None else describe_failure(lost)),
            self._job.environment,
            tuple(map(str, self._selection.ids)),
        )
        self._notifier.notify(RunFinished(result))  # writes the result file
        self._tell_targets(result)
        self._notifier.close()
        return result

    def _tell_targets(self, result: RunResult) -> None:
        if not self._plan.notify:
            return
        from rolerunner.notifications.delivery import Sender  # noqa: PLC0415 - few specs notify

        environment = self._environment
        Sender(
            environment.sessions,
            self._context.params,
            self._notifier.notify,
            environment.location,
            environment.in_sandbox,
        ).tell_end(
            self._plan.notify,
            result,
            is_out_of_time=bool(environment.cancel.expired),
            reason=environment.cancel.expired,
        )
