"""Runs of a Glue job: start one, wait for its end, read its logs. Glue has no waiters, and one good end among six."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.errors import StepError, UsageError
from rolerunner.glue.deploy.account import NOT_THERE
from rolerunner.glue.launch.runtime import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.glue.deploy.account import Account

SUCCEEDED = "SUCCEEDED"
FINAL_STATES = (SUCCEEDED, "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED")
"""States in which nothing more happens (Glue API reference, JobRunState)."""
_REASON = "rolerunner: "
"""How the entry script's last line begins."""
_LATE = 60_000
"""Milliseconds by which CloudWatch may show an event of one stream later than those of another."""
_LOOKS = 6
"""Looks at a run that may fail, one after the other, before waiting is given up."""
_FOR_GOOD = (NOT_THERE, "AccessDenied", "AccessDeniedException")
_HINTS = {
    NOT_THERE: "deploy it first: rolerunner deploy SPEC",
    "ConcurrentRunsExceededException": "a run is going on; wait for it, or raise 'max_concurrent_runs' under 'glue' in the spec",
}


@dataclass(frozen=True)
class JobRun:
    """A run of a Glue job. ``seconds`` is what it ran for, ``dpu_seconds`` what it is billed by (0: not known yet)."""

    id: str
    state: str
    seconds: int
    dpu_seconds: float
    error: str
    log_group: str

    @property
    def is_over(self) -> bool:
        """Has it ended?"""
        return self.state in FINAL_STATES

    @classmethod
    def of(cls, told: Mapping[str, Any], log_group: str) -> JobRun:
        """From Glue's JobRun."""
        seconds = int(told.get("ExecutionTime") or 0)
        billed = float(told.get("DPUSeconds") or seconds * float(told.get("MaxCapacity") or 0))
        base = str(told.get("LogGroupName") or log_group).rstrip("/")
        return cls(
            told["Id"], told["JobRunState"], seconds, billed, told.get("ErrorMessage") or "", base
        )


@dataclass(frozen=True)
class LogLine:
    """One event of a run's logs. ``time`` in milliseconds since the epoch."""

    time: int
    id: str
    text: str


class JobRuns:
    """The runs of one job."""

    def __init__(self, account: Account, job: str, runtime: str) -> None:
        self.account = account
        self.job = job
        self.log_group = RUNTIMES[runtime].log_group

    def start(self, params: Mapping[str, str]) -> str:
        """Start a run; its id. Raises StepError."""
        arguments = {f"--{name}": value for name, value in params.items()}
        return str(self._call("start_job_run", Arguments=arguments)["JobRunId"])

    def get(self, run_id: str) -> JobRun:
        """One run. Raises StepError."""
        return JobRun.of(self._call("get_job_run", RunId=run_id)["JobRun"], self.log_group)

    def newest(self) -> JobRun:
        """The run that was started last. Raises UsageError where there was none."""
        found = self._call("get_job_runs")["JobRuns"]
        if not found:
            raise UsageError(f"the Glue job '{self.job}' has not run yet: rolerunner start SPEC")
        return JobRun.of(max(found, key=lambda run: run["StartedOn"]), self.log_group)

    def wait(self, run_id: str, tell: Callable[[JobRun], None], interval: float = 10.0) -> JobRun:
        """Wait for a run's end, telling of it at each look; ``interval`` in seconds. Raises StepError where no look succeeds any more."""
        failed = 0
        while True:
            try:
                run = self.get(run_id)
                failed = 0
                tell(run)
                if run.is_over:
                    return run
            except StepError as error:
                failed += 1  # a run of hours outlives a network that is gone for a minute
                if failed >= _LOOKS or error.type in _FOR_GOOD:
                    raise
            time.sleep(interval)

    def reason(self, run: JobRun) -> str:
        """Why a run ended badly. Python Shell knows only an exit code, but the entry script's last line says it."""
        try:
            said = [
                line.text
                for line in self.lines(run, containing=_REASON)
                if line.text.startswith(_REASON)
            ]
        except StepError:  # whoever may start a job may not be one who may read logs
            said = []
        return (
            said[-1][len(_REASON) :].strip()
            if said
            else run.error or f"the run ended as {run.state}"
        )

    def lines(self, run: JobRun, since: int = 0, containing: str = "") -> Iterator[LogLine]:
        """What the run has logged so far, on both streams, from a time on, in the order of time. Raises StepError."""
        streams = (
            self._of_group(f"{run.log_group}/{name}", run.id, since, containing)
            for name in ("output", "error")
        )
        return heapq.merge(*streams, key=lambda line: line.time)

    def follow(self, run_id: str, interval: float = 5.0) -> Iterator[LogLine]:
        """Each line as it comes, until the run has ended and once more after that."""
        newest, over = 0, False
        seen: dict[str, int] = {}
        while True:
            run = self.get(run_id)
            since = max(newest - _LATE, 0)
            seen = {id_: at for id_, at in seen.items() if at >= since}
            for line in self.lines(run, since):
                if line.id not in seen:
                    seen[line.id] = line.time
                    newest = max(newest, line.time)
                    yield line
            if over:
                return
            over = run.is_over
            time.sleep(interval)

    def _of_group(self, group: str, run_id: str, since: int, containing: str) -> Iterator[LogLine]:
        asked: dict[str, Any] = {
            "logGroupName": group,
            "logStreamNamePrefix": run_id,
            "startTime": since,
        }
        if containing:
            asked["filterPattern"] = f'"{containing}"'
        while True:
            try:
                found = self.account.call("logs", "filter_log_events", **asked)
            except StepError as error:
                if error.type == "ResourceNotFoundException":  # made with the first line
                    return
                raise
            for event in found["events"]:
                if event.get("logStreamName", run_id).startswith(run_id):
                    yield LogLine(
                        event["timestamp"], event["eventId"], event["message"].rstrip("\n")
                    )
            if not found.get("nextToken"):
                return
            asked["nextToken"] = found["nextToken"]

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            return self.account.call("glue", operation, JobName=self.job, **parameters)
        except StepError as error:
            raise StepError(
                error.message, hint=_HINTS.get(error.type, error.hint), type=error.type
            ) from error
