"""Starts runs of a Glue job, waits for them and reads their logs. Glue has no waiters."""

from __future__ import annotations

import heapq
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError, UnexpectedResponse, UsageError
from rolerunner.glue.deploy.account import NOT_THERE
from rolerunner.glue.launch.arguments import split_environment
from rolerunner.glue.launch.invocation import merge_arguments
from rolerunner.glue.launch.log_streams import find_stream_prefix, name_log_group
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.storage.responses import PaginationGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from rolerunner.glue.deploy.account import Account

SUCCEEDED = "SUCCEEDED"
FINAL_STATES = (SUCCEEDED, "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED")
"""Final states of a run (Glue API reference, JobRunState)."""
_REASON = "rolerunner: "
"""Prefix of the entry script's last line."""
_LATE = 60_000
"""Milliseconds by which CloudWatch may show an event of one stream later than those of another."""
_RUN_ID = re.compile(r"jr_[0-9a-f]+")
"""A run's id in the name of a log stream."""
_LOOKS = 6
"""Consecutive failed polls after which waiting is abandoned."""
_FOR_GOOD = (NOT_THERE, "AccessDenied", "AccessDeniedException")
_HINTS = {
    NOT_THERE: "deploy it first: rolerunner deploy SPEC",
    "ConcurrentRunsExceededException": "a run is in progress; wait for it, "
    "or raise 'max_concurrent_runs' under 'glue' in the spec",
}


@dataclass(frozen=True)
class JobRun:
    """A run of a Glue job.

    ``dpu_seconds`` is billed time, 0 while unknown; ``started`` and ``ended`` are in milliseconds
    since the epoch, 0 while unknown; ``arguments`` are those of the run alone.
    """

    id: str
    state: str
    seconds: int
    dpu_seconds: float
    error: str
    log_group: str
    started: int = 0
    ended: int = 0
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Returns True if the run has ended."""
        return self.state in FINAL_STATES

    @classmethod
    def of(cls, run_fields: Mapping[str, Any], log_group: str) -> JobRun:
        """Parses a JobRun of Glue's API."""
        seconds = int(run_fields.get("ExecutionTime") or 0)
        billed = float(
            run_fields.get("DPUSeconds") or seconds * float(run_fields.get("MaxCapacity") or 0)
        )
        base = str(run_fields.get("LogGroupName") or log_group).rstrip("/")
        return cls(
            run_fields["Id"],
            run_fields["JobRunState"],
            seconds,
            billed,
            run_fields.get("ErrorMessage") or "",
            base,
            _to_milliseconds(run_fields.get("StartedOn")),
            _to_milliseconds(run_fields.get("CompletedOn")),
            run_fields.get("Arguments") or {},
        )


@dataclass(frozen=True)
class LogLine:
    """One event of a run's logs; ``time`` is in milliseconds since the epoch."""

    time: int
    id: str
    text: str


@dataclass(frozen=True)
class _LogStreams:
    """The streams of one run in one log group; times are in milliseconds since the epoch."""

    group: str
    prefix: str
    run_id: str
    since: int
    until: int = 0

    def request(self, containing: str) -> dict[str, Any]:
        """Returns the parameters of FilterLogEvents."""
        asked: dict[str, Any] = {
            "logGroupName": self.group,
            "logStreamNamePrefix": self.prefix,
            "startTime": self.since,
        }
        if self.until:
            asked["endTime"] = self.until
        if containing:
            asked["filterPattern"] = f'"{containing}"'
        return asked

    def has_stream(self, name: str) -> bool:
        """Returns True unless the stream is another run's: a custom prefix may be shared."""
        if not name.startswith(self.prefix):
            return False
        return self.run_id in name or not _RUN_ID.search(name[len(self.prefix) :])


class JobRuns:
    """The runs of one Glue job."""

    def __init__(self, account: Account, job: str, runtime: str) -> None:
        self.account = account
        self.job = job
        self.runtime = RUNTIMES[runtime]
        self.log_group = self.runtime.log_group
        self._job_arguments: Optional[tuple[Mapping[str, str], Mapping[str, str]]] = None

    def start(self, params: Mapping[str, str]) -> str:
        """Starts a run and returns its id. Raises StepError."""
        arguments = {f"--{name}": value for name, value in params.items()}
        return str(self._call_glue("start_job_run", Arguments=arguments)["JobRunId"])

    def require_environment(self, name: str) -> None:
        """Raises UsageError if the job runs another environment of the spec than ``name``.

        A job that cannot be read passes: starting it does not imply permission for that.
        """
        default, fixed = self._read_job_arguments()
        job_spec = {**default, **fixed}.get("--job_spec", "")
        found = split_environment(job_spec)[1]
        if job_spec and found != name:
            raise UsageError(
                f"the Glue job '{self.job}' runs "
                + (f"the environment '{found}': add --env {found}" if found else "no environment")
                + (f", not '{name}'" if name else "")
            )

    def get(self, run_id: str) -> JobRun:
        """Returns a run. Raises StepError."""
        return JobRun.of(self._call_glue("get_job_run", RunId=run_id)["JobRun"], self.log_group)

    def find_newest(self) -> JobRun:
        """Returns the run that was started last. Raises UsageError if there is none."""
        found = self._call_glue("get_job_runs")["JobRuns"]
        if not found:
            raise UsageError(f"the Glue job '{self.job}' has not run yet: rolerunner start SPEC")
        return JobRun.of(max(found, key=lambda run: run["StartedOn"]), self.log_group)

    def wait(self, run_id: str, tell: Callable[[JobRun], None], interval: float = 10.0) -> JobRun:
        """Polls a run until it ends, every ``interval`` seconds, and passes it to ``tell``.

        Raises StepError after several failed polls.
        """
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
        """Returns why a run failed: the entry script's last line, else Glue's own reason."""
        try:
            messages = [
                line.text
                for line in self.lines(run, containing=_REASON)
                if line.text.startswith(_REASON)
            ]
        except StepError:  # starting a job does not imply permission to read its logs
            messages = []
        return (
            messages[-1][len(_REASON) :].strip()
            if messages
            else run.error or f"the run ended as {run.state}"
        )

    def lines(self, run: JobRun, since: int = 0, containing: str = "") -> Iterator[LogLine]:
        """Yields log lines of both streams since a time, in order of time. Raises StepError.

        None is earlier than the run.
        """
        streams = (
            self._read_streams(streams, containing)
            for streams in self._find_streams(run, max(since, run.started))
        )
        return heapq.merge(*streams, key=lambda line: line.time)

    def follow(self, run_id: str, interval: float = 5.0) -> Iterator[LogLine]:
        """Yields lines as they arrive; polls once more after the run has ended."""
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

    def _find_streams(self, run: JobRun, since: int) -> list[_LogStreams]:
        """Returns where a run logs; Glue 5.0 and later let arguments rename groups and streams."""
        given = self._merged_arguments(run) if self.runtime.has_log_prefixes else {}
        base = name_log_group(self.runtime, given, run.log_group)
        custom = find_stream_prefix(self.runtime, given)
        # streams of a custom name may hold later runs as well
        until = run.ended + _LATE if custom and run.ended else 0
        return [
            _LogStreams(f"{base}/{name}", custom or run.id, run.id, since, until)
            for name in ("output", "error")
        ]

    def _merged_arguments(self, run: JobRun) -> dict[str, str]:
        """Returns the arguments of a run and of its job, as Glue merges them."""
        if self._job_arguments is None:
            self._job_arguments = self._read_job_arguments()
        default, fixed = self._job_arguments
        return merge_arguments(default, run.arguments, fixed)

    def _read_job_arguments(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        try:
            job = self._call_glue("get_job")["Job"]
        except StepError:  # reading logs does not imply permission to read the job
            return {}, {}
        return job.get("DefaultArguments") or {}, job.get("NonOverridableArguments") or {}

    def _read_streams(self, streams: _LogStreams, containing: str) -> Iterator[LogLine]:
        asked, guard = streams.request(containing), PaginationGuard()
        while True:
            try:
                found = self.account.call("logs", "filter_log_events", **asked)
            except StepError as error:
                if error.type == "ResourceNotFoundException":  # it is created with the first line
                    return
                raise
            for event in found["events"]:
                if streams.has_stream(event.get("logStreamName", streams.prefix)):
                    yield LogLine(
                        event["timestamp"], event["eventId"], event["message"].rstrip("\n")
                    )
            if not found.get("nextToken"):
                return
            asked["nextToken"] = found["nextToken"]
            if guard.is_repeated(found["nextToken"]) or guard.is_stalled(
                is_empty=not found["events"]
            ):
                raise UnexpectedResponse("logs FilterLogEvents: the pages of the log do not end")

    def _call_glue(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            return self.account.call("glue", operation, JobName=self.job, **parameters)
        except StepError as error:
            raise StepError(
                error.message, hint=_HINTS.get(error.type, error.hint), type=error.type
            ) from error


def _to_milliseconds(moment: Optional[datetime]) -> int:
    return int(moment.timestamp() * 1000) if moment is not None else 0
