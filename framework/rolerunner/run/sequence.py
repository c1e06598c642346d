"""Runs steps in the order of their needs: those of the job, or those of a group for one item."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import field
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol

from rolerunner.common.failures import as_step_error
from rolerunner.events import StepFinished
from rolerunner.lazy_dataclass import dataclass
from rolerunner.run.active_run import ActiveRun, ReadScope
from rolerunner.run.item_roles import bind_roles
from rolerunner.run.results import RunRecord, describe_failure, unstarted_result
from rolerunner.run.scheduler import Scheduler
from rolerunner.run.timeouts import POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.model import Step, StepResult

Execute = Callable[["Step", "Mapping[str, Any]", RunRecord], "StepResult"]
"""Runs a step that is to start, with the values that its expressions read."""


class Pool(Protocol):
    """Runs functions, in other threads or at once."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Runs a function, and returns the future of its result."""


class InlinePool:
    """Runs each function at once, in the calling thread."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Returns a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:  # noqa: BLE001 - raised again by the future
            future.set_exception(error)
        return future


@dataclass
class StepSequence:
    """Steps that run one after the other, or up to ``limit`` at once where needs allow it.

    The calling thread alone writes results; steps work in the threads of a pool.
    """

    steps: Sequence[Step]
    run: ActiveRun
    record: RunRecord
    read_scope: ReadScope
    execute: Execute
    limit: int
    other_names: Mapping[str, str] = field(default_factory=dict)
    """Step id -> its other name, by which it may be selected."""
    running: dict[Future[StepResult], Step] = field(default_factory=dict)

    def run_steps(self, pool: Pool) -> None:
        """Runs the steps to their end."""
        scheduler = Scheduler(self.steps)
        while scheduler.has_ready or self.running:
            for step, result in self._start_steps(scheduler, pool) or self._wait_for_steps():
                self._end_step(step, result)
                scheduler.mark_finished(step.id)

    def _start_steps(self, scheduler: Scheduler, pool: Pool) -> list[tuple[Step, StepResult]]:
        """Starts steps while there is room, up to the first that ends without starting."""
        while scheduler.has_ready and len(self.running) < self.limit:
            step, result = self._decide_start(scheduler.next_ready())
            if result is not None:
                return [(step, result)]
            started = pool.submit(self.execute, step, self.read_scope(step), self.record)
            self.running[started] = step
        return []

    def _decide_start(self, step: Step) -> tuple[Step, Optional[StepResult]]:
        """Returns the step under its roles, and None if it is to start, else how it ends."""

        def read_scope() -> Mapping[str, Any]:
            return self.read_scope(step)

        try:
            result = self.run.decide_start(step, self.record, read_scope)
            if result is not None:
                return step, result
            bound = step if step.for_each is not None else bind_roles(step, read_scope)
            other_name = self.other_names.get(step.id, "")
            return bound, self.run.restore_result(bound, self.record, read_scope, other_name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin's code may raise anything
            failure = describe_failure(as_step_error(error))
            return step, unstarted_result(step, "failed", failure)

    def _wait_for_steps(self) -> list[tuple[Step, StepResult]]:
        ended = [future for future in self.running if future.done()]
        if not ended:
            # Python handles signals in this thread, and one just before it blocks does not wake it
            done, _ = wait(self.running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            ended = list(done)
        finished = [(self.running.pop(future), future.result()) for future in ended]
        self.record.repeated.update(
            step.id for step, result in finished if result.attempts or not step.steps
        )
        return finished

    def _end_step(self, step: Step, result: StepResult) -> None:
        self.run.context.notify(StepFinished(self.record.add_result(step, result)))
