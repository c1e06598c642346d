"""Defines the action ``glue.run``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import AfterValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext
from rolerunner.actions.json_answers import to_plain_json
from rolerunner.actions.polling_fields import RegionFields, growing_interval_field, max_wait_field
from rolerunner.actions.remote_work import (
    forget_work,
    iter_growing_polls,
    note_started_work,
    read_started_work,
    shorten_text,
    stop_unless_done,
    wait_error,
)
from rolerunner.actions.requests import (
    check_boto3_knows,
    open_client,
    read_member,
    translate_errors,
)
from rolerunner.actions.service_api import to_method_name
from rolerunner.errors import StepError
from rolerunner.events import StepProgress
from rolerunner.iam.actions_table import build_resource_arn
from rolerunner.iam.aws_errors import is_retryable, is_throttling_failure
from rolerunner.model import Permission
from rolerunner.spec.field_types import DYNAMIC, Flag, Name, Seconds, Text

_RUNNING = frozenset({"STARTING", "RUNNING", "STOPPING", "WAITING"})
_BUSY = frozenset({"ConcurrentRunsExceededException", "ResourceNumberLimitExceededException"})
"""Errors of a job, or of an account, that has as many runs as it may have."""
_YOUNG_PARAMETERS = {"ExecutionClass": "execution_class", "JobRunQueuingEnabled": "run_queuing"}
"""Parameter of StartJobRun that some boto3 of Glue does not know -> its field."""
_MINUTE = 60


def _check_arguments(values: dict[str, Any]) -> dict[str, Any]:
    wrong = next((name for name in values if not name.lstrip("-")), None)
    if wrong is not None:
        raise ValueError(f"has '{wrong}', which is not the name of an argument")
    return values


Arguments = Annotated[
    dict[str, Annotated[Union[str, int, float, bool], DYNAMIC]], AfterValidator(_check_arguments)
]


class GlueRun(RegionFields, Action):
    """Start a run of another job of AWS Glue, and wait for its end.

    The run is stopped when the step is stopped or takes too long, unless `on_stop: leave`. A
    resumed run waits for the run that an earlier one started. While the job has as many runs as
    it may have, the step waits for a free one. Arguments are not for secrets, since Glue logs
    them: give the job the name of a secret instead.
    """

    kind: ClassVar[str] = "glue.run"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"arguments": {"day": "2026-01-31"}}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "run_id": "the id of the run",
        "state": "its state: SUCCEEDED, or with `wait: false` the one that it has now",
        "attempt": "the number of the attempt of Glue, from 0",
        "seconds": "how long it ran",
        "dpu_seconds": "how many DPU seconds it used, which Glue charges for",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "run_id": "jr_1",
        "state": "SUCCEEDED",
        "attempt": 0,
        "seconds": 1,
        "dpu_seconds": 1.5,
    }

    job: Name = Field(description="The name of the job.", examples=["load-orders"])
    arguments: Arguments = Field(
        default_factory=dict,
        description="Arguments of the run, which replace those of the job; -- may be left out.",
        examples=[{"day": "2026-01-31"}],
    )
    worker_type: Optional[Text] = Field(
        None, description="The type of its workers, if not that of the job.", examples=["G.2X"]
    )
    workers: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None, description="The number of its workers, if not that of the job.", examples=[10]
    )
    max_capacity: Optional[Annotated[float, Field(gt=0), DYNAMIC]] = Field(
        None, description="Its DPUs, for a job without workers.", examples=[0.0625]
    )
    execution_class: Optional[Annotated[Literal["STANDARD", "FLEX"], DYNAMIC]] = Field(
        None, description="STANDARD or FLEX, if not that of the job.", examples=["FLEX"]
    )
    run_timeout: Optional[Seconds] = Field(
        None,
        description="When Glue ends the run, in whole minutes, if not as the job says.",
        examples=["2h"],
    )
    run_queuing: Optional[Flag] = Field(
        None, description="Let Glue queue the run, if not as the job says.", examples=[True]
    )
    security_configuration: Optional[Text] = Field(
        None, description="Its security configuration, if not that of the job.", examples=["kms"]
    )
    wait: Flag = Field(True, description="Wait for the end of the run.", examples=[False])
    on_stop: Annotated[Literal["stop", "leave"], DYNAMIC] = Field(
        "stop",
        description="What to do with the run when the step is stopped: stop or leave.",
        examples=["leave"],
    )
    when_busy: Annotated[Literal["wait", "fail"], DYNAMIC] = Field(
        "wait",
        description="What to do while the job has as many runs as it may have: wait or fail.",
        examples=["fail"],
    )
    interval: Seconds = growing_interval_field(30.0, "the run", example="1m")
    max_wait: Seconds = max_wait_field(48 * 3600.0)

    @model_validator(mode="after")
    def _makes_sense(self) -> "GlueRun":
        has_workers = self.workers is not None or self.worker_type is not None
        if has_workers and self.max_capacity is not None:
            raise ValueError("'max_capacity' is for a job without 'workers' and 'worker_type'")
        if self.wait is False and self.on_stop == "leave":
            raise ValueError("'on_stop' is for a step that waits")
        if isinstance(self.run_timeout, float) and self.run_timeout % _MINUTE:
            raise ValueError(f"'run_timeout' must be whole minutes, not {self.run_timeout:g} s")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Starts the run, and waits for its end."""
        run = _JobRun(self, context)
        run_id = run.start()
        if not self.wait:
            return _build_outputs(run.look(run_id))
        if self.on_stop == "leave":
            ended = run.wait(run_id)
        else:
            with stop_unless_done(context, f"run {run_id}", lambda: run.stop(run_id)):
                ended = run.wait(run_id)
        if ended["JobRunState"] != "SUCCEEDED":
            forget_work(context)
            raise self._failed_error(run_id, ended)
        return _build_outputs(ended)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Starting the job, and looking at and stopping its runs.

        The job runs under its own role, whose permissions are not this step's.
        """
        actions = ["glue:StartJobRun", "glue:GetJobRun"]
        actions += ["glue:BatchStopJobRun"] if self.wait and self.on_stop == "stop" else []
        return {"role": [Permission(action, self._arn) for action in actions]}

    @property
    def _arn(self) -> str:
        return build_resource_arn("glue", f"job/{self.job}")

    def _failed_error(self, run_id: str, ended: Mapping[str, Any]) -> StepError:
        state = str(ended["JobRunState"])
        reason = shorten_text(ended.get("ErrorMessage")) or "Glue gives no reason"
        group = ended.get("LogGroupName") or "/aws-glue/jobs"
        hints = {
            "TIMEOUT": "raise 'run_timeout', or the job's own timeout",
            "STOPPED": "somebody stopped it; find out who, then resume",
            "EXPIRED": "it was queued for too long: start it at another time",
        }
        logs = f"its log is {run_id} in the log groups {group}/error and {group}/output"
        return StepError(
            f"run {run_id} of the job '{self.job}' ended as {state}: {reason}",
            hint=hints.get(state, logs),
            type=f"JobRun{state.title()}",
        )


class _JobRun:
    """Sends the requests of one step."""

    def __init__(self, action: GlueRun, context: StepContext) -> None:
        self.action, self.context = action, context
        self._role = context.roles["role"]
        region = action.region or ""
        self._client = open_client(context, self._role, "glue", region)
        self._starter = open_client(context, self._role, "glue", region, retry=False)

    def start(self) -> str:
        """Starts a run, or finds the one that was started before; returns its id."""
        run_id = read_started_work(self.context)
        if run_id and self._may_succeed(run_id):
            self.context.note("info", f"waits for run {run_id}, which was started before", {})
            return run_id
        action, refused = self.action, ""
        for _ in iter_growing_polls(self.context, action.interval, action.max_wait):
            try:
                run_id = self._start_once()
            except StepError as error:
                is_busy = error.type in _BUSY and action.when_busy == "wait"
                if not is_busy and not is_throttling_failure(error):
                    raise self._explain(error) from None
                if refused != error.message:
                    refused = error.message
                    self.context.note("info", f"waits to start: {refused}", {})
                continue
            self._note(run_id)
            return run_id
        raise StepError(
            f"the job '{action.job}' was not started within {action.max_wait:g} s: {refused}",
            hint="raise 'max_wait', the job's number of concurrent runs, or set 'run_queuing'",
            type="WaitTimeout",
        )

    def wait(self, run_id: str) -> Mapping[str, Any]:
        """Returns the run once it has ended. Raises StepError if that takes too long."""
        state = ""
        action = self.action
        for number in iter_growing_polls(self.context, action.interval, action.max_wait):
            run = self.look(run_id)
            if run["JobRunState"] != state:
                state = run["JobRunState"]
                self.context.note("info", f"run {run_id} is {state}", {})
            if state not in _RUNNING:
                return run
            self.context.progress(StepProgress(self.context.step_id, number, 0))
        raise wait_error(f"run {run_id}", state, action.max_wait)

    def look(self, run_id: str) -> Mapping[str, Any]:
        """Returns the run as it is now. Raises StepError."""
        answer = self._call("GetJobRun", JobName=self.action.job, RunId=run_id)
        read_member(answer, "glue GetJobRun", "JobRun", "JobRunState")
        return {"Id": run_id, **answer["JobRun"]}

    def stop(self, run_id: str) -> None:
        """Stops the run. Raises StepError."""
        told = self._call("BatchStopJobRun", JobName=self.action.job, JobRunIds=[run_id])
        for error in told.get("Errors") or ():
            detail = error.get("ErrorDetail", {})
            raise StepError(str(detail.get("ErrorMessage")), type=str(detail.get("ErrorCode")))

    def _note(self, run_id: str) -> None:
        with stop_unless_done(self.context, f"run {run_id}", lambda: self.stop(run_id)):
            note_started_work(self.context, run_id)

    def _start_once(self) -> str:
        action = self.action
        options = {
            "Arguments": {
                f"--{name.lstrip('-')}": _render_argument(value)
                for name, value in action.arguments.items()
            },
            "WorkerType": action.worker_type,
            "NumberOfWorkers": action.workers,
            "MaxCapacity": action.max_capacity,
            "ExecutionClass": action.execution_class,
            "Timeout": int(action.run_timeout // _MINUTE) if action.run_timeout else None,
            "JobRunQueuingEnabled": action.run_queuing,
            "SecurityConfiguration": action.security_configuration,
        }
        given = {name: value for name, value in options.items() if value not in (None, {})}
        check_boto3_knows(self._starter, "StartJobRun", given, _YOUNG_PARAMETERS)
        answer = self._call("StartJobRun", self._starter, JobName=action.job, **given)
        return str(read_member(answer, "glue StartJobRun", "JobRunId"))

    def _explain(self, error: StepError) -> StepError:
        """Returns an error of StartJobRun with what to do; an unknown outcome is not retried."""
        hint = error.hint
        if is_retryable(error):
            return StepError(
                f"it is not known whether a run of the job '{self.action.job}' was started:"
                f" {error.message}",
                hint="look at the runs of the job; start the step again if there is none",
                type="OutcomeUnknown",
            )
        if error.type in _BUSY:
            hint = "set 'when_busy: wait', raise the job's number of concurrent runs, or set"
            hint += " 'run_queuing: true'"
        if error.type == "EntityNotFoundException":
            hint = "check 'job', 'region', and the account of the role"
        return StepError(error.message, hint=hint, type=error.type) if hint != error.hint else error

    def _may_succeed(self, run_id: str) -> bool:
        """Returns False for a run that ended without success, or is not known any more."""
        try:
            state = self.look(run_id)["JobRunState"]
        except StepError as error:
            if error.type == "EntityNotFoundException":
                return False
            raise
        return state in _RUNNING or state == "SUCCEEDED"

    def _call(self, operation: str, client: Any = None, **parameters: Any) -> Mapping[str, Any]:
        needed = [Permission(f"glue:{operation}", self.action._arn)]  # noqa: SLF001
        method = getattr(client or self._client, to_method_name(operation))
        with translate_errors(self.context, self._role, f"glue {operation}", lambda: needed):
            answer: Mapping[str, Any] = method(**parameters)
        return answer


def _render_argument(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _build_outputs(run: Mapping[str, Any]) -> Mapping[str, Any]:
    seconds = int(run.get("ExecutionTime") or 0)
    used = run.get("DPUSeconds")
    used = seconds * float(run.get("MaxCapacity") or 0) if used is None else used
    outputs: Mapping[str, Any] = to_plain_json(
        {
            "run_id": run["Id"],
            "state": run["JobRunState"],
            "attempt": int(run.get("Attempt") or 0),
            "seconds": seconds,
            "dpu_seconds": float(used),
        }
    )
    return outputs
