"""Plan -> RunResult: every distinct role assumed, then the steps, each ending as a value."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional, Union

from pydantic import ValidationError

from rolerunner.actions.base import StepContext
from rolerunner.errors import FieldError, RoleRefused, RolesRefused, StepError
from rolerunner.events import Note, RoleAssumed, RoleWasRefused, RunFinished, RunStarted, StepFinished, StepStarted
from rolerunner.model import JOB, Failure, Role, RoleUse, RunResult, Step, StepResult
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.loader import fill
from rolerunner.storage.base import Cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rolerunner.actions.base import Action
    from rolerunner.credentials import Sessions
    from rolerunner.events import Event, Observer
    from rolerunner.model import Plan
    from rolerunner.storage.base import Storage

_AT_ONCE = 16
"""Roles assumed side by side before the first step."""


@dataclass(frozen=True)
class Means:
    """What a run works with, besides its plan."""

    actions: Mapping[str, type[Action]]
    sessions: Sessions
    open_storage: Callable[[Role], Storage]
    workdir: Path
    project: Path
    observers: Sequence[Observer] = ()
    cancel: Cancel = field(default_factory=Cancel)


def run(plan: Plan, run_id: str, means: Means) -> RunResult:
    """Run the plan. A failed step is in the result; only roles refused before the first step raise, RolesRefused."""
    return _Run(plan, run_id, means).result()


class _Run:
    def __init__(self, plan: Plan, run_id: str, means: Means) -> None:
        self.plan = plan
        self.run_id = run_id
        self.means = means
        self.started = datetime.now(timezone.utc)
        self.clock = time.monotonic()
        self.results: dict[str, StepResult] = {}
        self.error = ""

    def result(self) -> RunResult:
        self._tell(RunStarted(self.run_id, self.plan))
        if self.plan.job.assume == "first":
            try:
                self._assume_all()
            except RolesRefused as refused:
                self._not_run(refused)
                self._finish("failed")
                raise
        failed = False
        for planned in self.plan.steps:
            result = _unreached(planned.step, "not_run") if failed else self._step(planned.step)
            self.results[planned.step.id] = result
            self._tell(StepFinished(result))
            failed = failed or (result.status == "failed" and planned.step.on_error == "fail")
        worst = {result.status for result in self.results.values()}
        return self._finish("failed" if failed else "warning" if worst & {"failed", "warning"} else "succeeded")

    def _finish(self, status: str) -> RunResult:
        result = RunResult(
            self.run_id, self.plan.job.name, status, self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            round(time.monotonic() - self.clock, 3), tuple(self._role_uses()), tuple(self.results.values()),
        )  # fmt: skip
        self._tell(RunFinished(result))
        return result

    def _role_uses(self) -> list[RoleUse]:
        sessions = self.means.sessions
        used = [JOB] if any(role.is_job for step in self.plan.job.steps for role in step.roles.values()) else []
        return [RoleUse(str(role), role.arn, sessions.session_arn(role), sessions.assume_calls(role)) for role in (*used, *self.plan.roles)]

    # roles

    def _assume_all(self) -> None:
        """Every distinct role at once, each after the role it is reached through; all refusals together."""
        if not self.plan.roles and not any(step.roles for step in self.plan.job.steps):
            return
        self.means.sessions.assume(JOB)
        refusals = []
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rolerunner-role") as pool:
            for event in pool.map(self._assume, self.plan.roles):  # told in the order of the plan
                self._tell(event)
                refusals += [event.refusal] if isinstance(event, RoleWasRefused) else []
        if refusals:
            raise RolesRefused(refusals)

    def _assume(self, role: Role) -> Union[RoleAssumed, RoleWasRefused]:
        began = time.monotonic()
        try:
            self.means.sessions.assume(role)
        except RoleRefused as refusal:
            return RoleWasRefused(refusal)
        return RoleAssumed(str(role), self.means.sessions.session_arn(role), time.monotonic() - began)

    def _not_run(self, refused: RolesRefused) -> None:
        by_role = {refusal.role: refusal for refusal in refused.refusals}
        for planned in self.plan.steps:
            refusal = next((by_role[str(role)] for role in planned.step.roles.values() if str(role) in by_role), None)
            failure = Failure(refusal.type, refusal.message, refusal.hint) if refusal else None
            self.results[planned.step.id] = _unreached(planned.step, "not_run", failure)

    # steps

    def _step(self, step: Step) -> StepResult:
        began = time.monotonic()
        self._tell(StepStarted(step, self.means.sessions.session_arn(step.role) if step.role else ""))
        outputs: Mapping[str, Any] = {}
        failure: Optional[Failure] = None
        try:
            action = self._filled(step)
            outputs = action.run(self._context(step))
        except StepError as error:
            failure = Failure(error.type, error.message, error.hint)
        if failure is not None and not self.error:
            self.error = f"{step.id}: {failure.message}"
        return StepResult(
            step.id, step.action, str(step.role or ""), "failed" if failure else "succeeded", 1,
            round(time.monotonic() - began, 3), outputs, failure,
        )  # fmt: skip

    def _filled(self, step: Step) -> Action:
        """The step's action with every template worked out. Raises FieldError."""
        try:
            values = fill(dict(step.fields), self._scope())
            return self.means.actions[step.action].model_validate(values)
        except ExpressionError as error:
            raise FieldError(f"{step.mark}: {error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise FieldError(f"{step.mark}: '{place}': {first['msg']}, not {first['input']!r}") from None

    def _scope(self) -> dict[str, Any]:
        steps = {id_: {**result.outputs, "status": result.status} for id_, result in self.results.items()}
        now = self.started
        run = {"id": self.run_id, "name": self.plan.job.name, "date": now.date(), "time": now, "error": self.error}
        return {"params": self.plan.job.params, "steps": steps, "run": run}

    def _context(self, step: Step) -> StepContext:
        means = self.means
        return StepContext(
            step_id=step.id, run_id=self.run_id, roles=step.roles, sessions=means.sessions, open_storage=means.open_storage,
            workdir=means.workdir, project=means.project, params=self.plan.job.params, cancel=means.cancel,
            progress=self._tell, note=lambda level, message, values: self._tell(Note(step.id, level, message, values)),
        )  # fmt: skip

    def _tell(self, event: Event) -> None:
        for observer in self.means.observers:
            observer.notify(event)


def _unreached(step: Step, status: str, failure: Optional[Failure] = None) -> StepResult:
    return StepResult(step.id, step.action, str(step.role or ""), status, error=failure)
