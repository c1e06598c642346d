"""One step, from its fields to its outputs: templates filled in, each item of for_each, each try, each timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar, Union

from pydantic import ValidationError

from rolerunner.actions.base import StepContext
from rolerunner.common.cancellation import Cancel
from rolerunner.common.failures import as_step_error
from rolerunner.common.json_values import safe_text
from rolerunner.errors import FieldError, FunctionFailed, StepError
from rolerunner.events import Event, Note, StepProgress
from rolerunner.iam.aws_errors import is_retryable, is_throttling_failure
from rolerunner.model import Failure
from rolerunner.redaction.redact import has_secret_value, seal_outputs
from rolerunner.run.environment import RunContext
from rolerunner.selection.collisions import ClaimedNames
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.reader import fill_templates, iter_templates
from rolerunner.spec.validation import list_messages
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    import tenacity

    from rolerunner.actions.base import Action
    from rolerunner.model import Step

T = TypeVar("T")
MAX_ITEMS = 100_000
"""Most items of for_each: more objects than that belong in one action's ``objects``."""
_GRACE = 3.0
"""Seconds that a step which is told to stop may take to do so before it is left behind: a signalled run ends within five."""
_LONGEST_ITEM = 300
"""Characters of an item that are shown in its failure."""
_LOOK = 0.1
"""Seconds between two looks at whether a step is to stop; its end is seen at once."""
_PROGRESS_EVERY = 0.1
"""Seconds between two events of a step's progress."""


@dataclass(frozen=True)
class Executed:
    """A step that is done: its outputs, how many tries it took, and what its action warns of."""

    outputs: Mapping[str, Any]
    attempts: int
    warning: Optional[Failure] = None
    left: tuple[Path, ...] = ()
    """Lists of what it left on this machine, one for each item that left something."""


def execute(
    step: Step, scope: Mapping[str, Any], run: RunContext, *, resuming: bool = False
) -> Executed:
    """Do the step, once or for each item. ``resuming``: an earlier run may have done a part of it. Raises StepError."""
    deadline = None if step.timeout is None else time.monotonic() + step.timeout
    if step.for_each is None:
        return _Tries(step, scope, run, run.environment.workdir, deadline, resuming).run()
    return _for_each(step, scope, run, deadline, resuming=resuming)


def _for_each(
    step: Step,
    scope: Mapping[str, Any],
    run: RunContext,
    deadline: Optional[float],
    *,
    resuming: bool,
) -> Executed:
    items = _items(step, scope)
    failed = threading.Event()
    claimed = ClaimedNames()

    def one(numbered: tuple[int, Any]) -> Optional[Executed]:
        number, item = numbered
        if failed.is_set():
            return None
        if run.environment.cancel.is_set():
            raise StepError("stopped before all items were done", type="Stopped")
        try:
            workdir = run.environment.workdir / f"{step.id}.items" / str(number)
            return _Tries(
                step, {**scope, "item": item}, run, workdir, deadline, resuming, claimed=claimed
            ).run()
        except StepError as error:
            failed.set()
            raise _of_item(error, number, item) from error

    with (
        closing(claimed),
        ThreadPool(
            step.max_parallel or run.max_parallel, thread_name_prefix="rolerunner-item"
        ) as pool,
    ):
        done = [each for each in pool.map(one, enumerate(items)) if each is not None]
    names = dict.fromkeys(name for each in done for name in each.outputs)
    gathered = {name: [each.outputs.get(name) for each in done] for name in names}
    warning = next((each.warning for each in done if each.warning is not None), None)
    left = tuple(path for each in done for path in each.left)
    return Executed(gathered, max((each.attempts for each in done), default=1), warning, left)


def _items(step: Step, scope: Mapping[str, Any]) -> list[Any]:
    items = _worked_out(step, step.for_each, scope)
    if has_secret_value(items):
        raise FieldError(
            f"{step.mark}: 'for_each' may not go through secrets",
            hint="name its items otherwise, and read secrets in the step",
        )
    if isinstance(items, ObjectList):
        if items.count > MAX_ITEMS:
            raise FieldError(
                f"{step.mark}: for_each over {items.count:,} objects, {MAX_ITEMS:,} at most",
                hint="give an action's 'objects' the list",
            )
        return [items.describe(info) for info in items]
    if not isinstance(items, (list, tuple)) or len(items) > MAX_ITEMS:
        raise FieldError(
            f"{step.mark}: 'for_each' must be a list of {MAX_ITEMS:,} at most, not {type(items).__name__}"
        )
    return list(items)


def _check_secrets(step: Step, action: type[Action], values: Mapping[str, Any]) -> None:
    """Raise FieldError for a secret, known as one only now, that would flow where it would be shown or stored."""
    waiting: list[tuple[tuple[Any, ...], Any]] = [
        ((name,), value) for name, value in values.items()
    ]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, (dict, list)):
            waiting += [
                ((*path, key), each)
                for key, each in (value.items() if isinstance(value, dict) else enumerate(value))
            ]
        elif has_secret_value(value) and not action.accepts_secret(path):
            hint = "secrets may flow into arguments of python.call, parameters of aws.call, and a customer_key"
            raise FieldError(
                f"{step.mark}: '{'.'.join(map(str, path))}' would get a secret", hint=hint
            )


def _of_item(error: StepError, number: int, item: Any) -> StepError:
    named = safe_text(item["key"] if isinstance(item, Mapping) and "key" in item else item)[
        :_LONGEST_ITEM
    ]
    return StepError(f"item {number} ({named}): {error.message}", hint=error.hint, type=error.type)


def _worked_out(step: Step, value: Any, scope: Mapping[str, Any]) -> Any:
    try:
        return fill_templates(value, scope)
    except ExpressionError as error:
        raise FieldError(f"{step.mark}: {error}") from error


_NOT_RECORDED = "NotRecorded"
"""The type of a failure that came after the work was done."""
_ABOUT_TRIES = frozenset({"idempotent"})
"""Fields that say how a step is called and not what it does."""


def made_of(step: Step, scope: Mapping[str, Any]) -> dict[str, Any]:
    """All that a step's work is made from, its templates worked out; what differs from run to run is masked. Raises FieldError."""
    about = {**scope["run"], "id": "", "error": ""}
    masked = {**scope, "run": about}
    roles = {
        f"role {name}": [role.arn, role.external_id, str(role.via or "")]
        for name, role in step.roles.items()
    }
    fields = {name: value for name, value in step.fields.items() if name not in _ABOUT_TRIES}
    if step.for_each is None:
        return {
            "action": step.action,
            **roles,
            **{name: _worked_out(step, value, masked) for name, value in fields.items()},
        }
    items = _worked_out(step, step.for_each, masked)
    # fields that read 'item' count by their text, and by the items
    return {
        "action": step.action,
        **roles,
        "for_each": items,
        **{name: _as_said(step, value, masked) for name, value in fields.items()},
    }


def _as_said(step: Step, value: Any, scope: Mapping[str, Any]) -> Any:
    return (
        str(value)
        if any(
            reference.path[0] == "item"
            for _, each in iter_templates(value)
            for reference in each.references
        )
        else _worked_out(step, value, scope)
    )


def is_wanted(step: Step, scope: Mapping[str, Any]) -> bool:
    """What the step's ``when`` expression says. Raises FieldError."""
    return bool(_worked_out(step, step.when, scope))


def is_idempotent(step: Step) -> bool:
    """False for a step whose call must not be repeated while its outcome is unknown."""
    return step.fields.get("idempotent") is not False


def may_repeat(step: Step, error: BaseException) -> bool:
    """Return whether another try may follow this failure.

    Work that still runs is never called again. A step with ``idempotent: false`` is called again only after AWS refused
    the call for its rate, which is the one passing failure that is known to have had no effect.
    """
    if not is_retryable(error) or getattr(error, "still_runs", False):
        return False
    return is_idempotent(step) or (
        is_throttling_failure(error) and not isinstance(error, FunctionFailed)
    )


def is_outcome_known(step: Step, error: StepError) -> bool:
    """Return whether the failure says for certain how the step's call ended; of several calls, that none was made."""
    if step.for_each is not None:
        return isinstance(error, FieldError)
    return (
        not error.still_runs
        and error.type not in ("Stopped", _NOT_RECORDED)
        and (is_throttling_failure(error) or not is_retryable(error))
    )


@dataclass
class _Tries:
    """The tries of one step, or of one item of it."""

    step: Step
    scope: Mapping[str, Any]
    run_context: RunContext
    workdir: Path
    deadline: Optional[float]
    resuming: bool = False
    attempts: int = 0
    claimed: Optional[ClaimedNames] = None

    def run(self) -> Executed:
        try:
            action = self.action()
            outputs = (
                self._once(action) if self.step.retry.attempts == 1 else self._once_or_again(action)
            )
            sealed = seal_outputs(outputs, self.step.secret_outputs)
            return Executed(
                sealed,
                self.attempts,
                getattr(outputs, "warning", None),
                self._left(action, outputs),
            )
        except BaseException as error:
            failure = as_step_error(error)
            failure.attempts = self.attempts or 1
            raise failure from error

    def _left(self, action: Action, outputs: Mapping[str, Any]) -> tuple[Path, ...]:
        """Write down what the step left on this machine, where the run keeps state. Raises StepError."""
        if not self.run_context.keeps_state:
            return ()
        from rolerunner.run.state.leftovers import write_left  # noqa: PLC0415 - few jobs keep state

        context = self.context(self.run_context.environment.cancel)
        path = context.manifest_path(".left")
        try:
            return (
                (path,)
                if write_left(action.tracked_paths(context, outputs), path, context.cancel)
                else ()
            )
        except StepError as error:
            raise StepError(
                f"done, but the files that it left cannot be looked at: {error.message}",
                hint=error.hint,
                type=_NOT_RECORDED,
            ) from error

    def _once_or_again(self, action: Action) -> Mapping[str, Any]:
        import tenacity  # noqa: PLC0415 - brings asyncio along, 25 ms that most runs have no use for

        retry = self.step.retry
        grows = tenacity.wait_exponential(
            multiplier=retry.delay, exp_base=retry.backoff, max=retry.max_delay
        )
        wait = grows + tenacity.wait_random(
            0, retry.delay / 2
        )  # jitter: many jobs that failed together do not come back together
        trying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(retry.attempts), wait=wait, retry=tenacity.retry_if_exception(self._may_go_on),
            sleep=self._sleep, before_sleep=self._say, reraise=True,
        )  # fmt: skip
        outputs: Mapping[str, Any] = trying(self._once, action)
        return outputs

    def _may_go_on(self, error: BaseException) -> bool:
        in_time = self.deadline is None or time.monotonic() < self.deadline
        return (
            in_time
            and may_repeat(self.step, error)
            and not self.run_context.environment.cancel.is_set()
        )

    def _sleep(self, seconds: float) -> None:
        left = (
            seconds
            if self.deadline is None
            else min(seconds, max(self.deadline - time.monotonic(), 0))
        )
        self.run_context.environment.cancel.wait(left)

    def _say(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        self.run_context.notify(
            Note(
                self.step.id,
                "warning",
                "tried again",
                {"after": round(seconds, 2), "attempt": self.attempts, "error": str(error)},
            )
        )

    def _once(self, action: Action) -> Mapping[str, Any]:
        if self.run_context.environment.cancel.is_set():
            raise StepError("stopped before it was begun", type="Stopped")
        self.attempts += 1
        limits = [
            limit
            for limit in (self.step.attempt_timeout, self._seconds_left())
            if limit is not None
        ]
        cancel = Cancel(self.run_context.environment.cancel)
        if (
            self.run_context.environment.open_spread is None
            and getattr(action, "distribute", None) is not None
        ):
            self.run_context.notify(
                Note(
                    self.step.id,
                    "warning",
                    "'distribute' is left aside: the sandbox's job is this process alone",
                    {},
                )
            )
        _LEFT_BEHIND.refuse(self.step, action)
        running = Background(lambda: action.run(self.context(cancel)), "rolerunner-try")
        try:
            return run_with_timeout(running, cancel, min(limits, default=None))
        except StepError as error:
            if error.still_runs:
                _LEFT_BEHIND.add(self.step, action, running)
            raise

    def _seconds_left(self) -> Optional[float]:
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    def action(self) -> Action:
        """The step's action with every template worked out. Raises FieldError."""
        step = self.step
        values = _worked_out(step, dict(step.fields), self.scope)
        _check_secrets(step, self.run_context.environment.actions[step.action], values)
        try:
            return self.run_context.environment.actions[step.action].model_validate(values)
        except ValidationError as error:
            raise FieldError(f"{step.mark}: {'; '.join(list_messages(error))}") from None

    def context(self, cancel: Cancel) -> StepContext:
        environment, step, run = self.run_context.environment, self.step, self.run_context
        return StepContext(
            step_id=step.id, run_id=run.run_id, roles=step.roles, sessions=environment.sessions, open_storage=environment.open_storage,
            workdir=self.workdir, project=environment.project, params=run.params, cancel=cancel, progress=_now_and_then(run.notify),
            note=lambda level, message, values: run.notify(Note(step.id, level, message, values)),
            is_resumed=self.resuming or self.attempts > 1, outputs_changed=step.id in run.distrusted, is_retry=self.attempts > 1,
            open_spread=environment.open_spread, workspace=environment.workspace,
            target_claims=self.claimed,
        )  # fmt: skip


class Background(Generic[T]):
    """Work in a thread of its own that does not hold the process, so that it can be left behind.

    A function that ignores ``cancel``, or a request that hangs, cannot keep the run from ending.
    """

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._guarded, daemon=True, name=name)
        self._thread.start()

    def _guarded(self) -> None:
        try:
            self._outcome.append(self._work())
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits
            self._outcome.append(error)

    def is_over(self, seconds: float = 0.0) -> bool:
        """Wait up to ``seconds`` for the end of the work; return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def succeeded(self) -> bool:
        """True for work that has ended without an exception."""
        return bool(self._outcome) and not isinstance(self._outcome[0], BaseException)

    def result(self) -> T:
        """Return what the work returned, or raise what it raised. Only for work that is over."""
        outcome = self._outcome[0]
        if isinstance(outcome, BaseException):
            raise outcome
        returned: T = outcome
        return returned


class _LeftBehind:
    """Work of this process that could not be stopped, of whatever run: while it runs, its call is not made again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[tuple[Step, Action, Background[Any]]] = []

    def add(self, step: Step, action: Action, running: Background[Any]) -> None:
        """Remember a call that was left behind."""
        with self._lock:
            self._calls.append((step, action, running))

    def refuse(self, step: Step, action: Action) -> None:
        """Raise StepError where the same call of the same step still runs."""
        with self._lock:
            self._calls = [call for call in self._calls if not call[2].is_over()]
            if any(
                each.id == step.id and each.mark == step.mark and begun == action
                for each, begun, _ in self._calls
            ):
                error = StepError(
                    "an earlier call of this step still runs in this process",
                    hint="end the process, or wait",
                    type="StillRunning",
                )
                error.still_runs = True
                raise error


_LEFT_BEHIND = _LeftBehind()


def run_with_timeout(
    work: Union[Callable[[], T], Background[T]],
    cancel: Cancel,
    seconds: Optional[float],
    grace: Optional[float] = None,
) -> T:
    """Return what the work returns. On timeout or cancellation the work is signalled, then abandoned after ``grace`` seconds.

    Work that succeeds within the grace period is done. The error of work that still runs says so (``still_runs``).
    """
    running = work if isinstance(work, Background) else Background(work, "rolerunner-work")
    deadline = None if seconds is None else time.monotonic() + seconds
    while not cancel.is_set() and (deadline is None or time.monotonic() < deadline):
        if running.is_over(
            _LOOK if deadline is None else min(_LOOK, max(deadline - time.monotonic(), 0))
        ):
            return running.result()
    stopped = cancel.is_set()
    cancel.set()
    over = running.is_over(_GRACE if grace is None else grace)
    if over and (stopped or running.succeeded):
        return running.result()
    left = "" if over else "; it does not stop and was left behind"
    error = (
        StepError(f"stopped before it was done{left}", type="Stopped")
        if stopped
        else _timed_out(seconds, left)
    )
    error.still_runs = not over
    raise error


def _timed_out(seconds: Optional[float], left: str) -> StepError:
    return StepError(
        f"not done within {seconds:.2g} s{left}",
        hint="raise 'timeout', or give the step less to do",
        type="Timeout",
    )


def _now_and_then(tell: Callable[[Event], None]) -> Callable[[StepProgress], None]:
    """Progress at most ten times a second: a million objects are not a million events."""
    last = 0.0

    def progress(event: StepProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_EVERY:
            last = now
            tell(event)

    return progress
