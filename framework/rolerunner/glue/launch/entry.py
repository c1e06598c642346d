"""Runs a spec for the Glue entry script; returns on success and raises on failure.

On Spark even ``sys.exit(0)`` fails the job run, so success returns and failure raises; the
exception's message becomes the run's error. Python Shell shows only an exit code, so the reason is
also the last line printed. Both runtimes write it to the result file.
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Optional

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.common.cancellation import Cancel
from rolerunner.common.json_values import safe_text
from rolerunner.errors import (
    RolerunnerError,
    SpecError,
    UsageError,
)
from rolerunner.events import Event, Note, RunFinished, RunStarted
from rolerunner.glue.launch import spark_job
from rolerunner.glue.launch.arguments import (
    ENTRY_ARGUMENTS,
    Arguments,
    parse_arguments,
    split_environment,
)
from rolerunner.glue.launch.failures import describe_error, describe_internal_error, find_failure
from rolerunner.glue.launch.job_settings import (
    LOG_LEVELS,
    check_params,
    choose_time_limits,
    read_log_level,
    require_spec,
)
from rolerunner.glue.launch.notified import NOTIFIED_EXIT_STATUS, NotifyOutcomes, UnstartedRun
from rolerunner.glue.launch.result_output import ResultOutput
from rolerunner.glue.launch.runtime import detect_runtime
from rolerunner.model import Failure, Job, RunLocation, RunResult
from rolerunner.observers.gc_tuner import GcTuner
from rolerunner.observers.log import Log, configure_stdout
from rolerunner.redaction.printing import redact_prints
from rolerunner.redaction.redact import redact
from rolerunner.redaction.tracebacks import redact_tracebacks
from rolerunner.run.run_id import create_run_id
from rolerunner.sessions.identity import JobIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class JobFailed(Exception):
    """The job failed; the message names the step and the reason."""


class NotifiedFailure(JobFailed):
    """The job failed, and all targets that want to know were told.

    The rules that ``deploy`` makes for other ends of a job run leave this one out.
    """


def main(argv: Sequence[str]) -> RunResult:
    """Runs the spec of ``--job_spec`` under the job's role. Raises JobFailed with the reason."""
    redact_tracebacks()
    given = parse_arguments(argv[1:])
    level = given.ours.get("log_level") or "info"
    entry = _Entry(
        given,
        Log(configure_stdout(), level=level if level in LOG_LEVELS else "info"),
        create_run_id(),
    )
    runtime = detect_runtime(argv[0] if argv else "", given.ours.get("runtime", ""))
    with redact_prints():
        failure = entry.run(runtime)
    not_written = entry.write_result()
    failure = failure or not_written
    if failure is None:
        return entry.result
    if not entry.output.file.is_written:
        entry.tell_unstarted()
    reason = str(redact(failure.message))
    print(f"rolerunner: {reason}", flush=True)  # noqa: T201 - Python Shell shows nothing of an exception: here a person looks
    if not entry.outcomes.is_told:
        raise JobFailed(reason)
    if runtime == "pythonshell":
        raise SystemExit(NOTIFIED_EXIT_STATUS)
    raise NotifiedFailure(reason)


class _Entry:
    """One execution of the script: its arguments, log and result."""

    def __init__(self, given: Arguments, log: Log, run_id: str) -> None:
        self.given = given
        self.log = log
        self.out_of_time = False
        self._timer: Optional[threading.Timer] = None
        self.identity = JobIdentity(region=given.ours.get("aws_region", ""))
        started = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        self.result = RunResult(run_id, "", "failed", started, 0.0, (), ())
        self.output = ResultOutput(given.ours.get("result", ""), run_id, log)
        self.outcomes = NotifyOutcomes()
        self.job: Optional[Job] = None
        self._cause: Optional[Exception] = None

    def notify(self, event: Event) -> None:
        """Keeps the result, also if the run ends with an exception."""
        self.output.file.notify(event)
        self.outcomes.notify(event)
        if isinstance(event, RunStarted) and self._timer is not None:
            self._timer.start()  # not earlier: processes are forked while there is one thread
        if isinstance(event, RunFinished):
            self.result = event.result
            self.write_result()  # notifications say where it is, so it comes first

    def run(self, runtime: str) -> Optional[Failure]:
        """Runs the spec; returns why it failed, or None."""
        try:
            self.result = self._run_job(runtime)
        except RolerunnerError as error:
            self._cause = error
            failure = describe_error(error)
            self._log_message(
                "error", "run_failed", type=failure.type, error=str(error), hint=failure.hint
            )
        except Exception as error:
            # Python Shell would split a traceback, so it is logged as one line
            logging.getLogger("rolerunner").exception("internal error")
            failure = describe_internal_error(error)
        else:
            return find_failure(self.result, out_of_time=self.out_of_time)
        if self.output.lacks_error:
            self.result = replace(self.result, error=failure)
        return failure

    def tell_unstarted(self) -> None:
        """Tells the targets of the spec of a run that did not begin."""
        spec, environment = split_environment(self.given.ours.get("job_spec", ""))
        unstarted = UnstartedRun(
            spec,
            environment,
            self.given.params,
            self.job,
            self.identity,
            self._locate(),
            is_invalid=isinstance(self._cause, (SpecError, UsageError)),
        )
        try:
            unstarted.tell(self.result, self._pass_on)
        except Exception as error:  # noqa: BLE001 - the failure of the job itself matters more
            logging.getLogger("rolerunner").warning("nobody was notified: %s", safe_text(error))

    def _pass_on(self, event: Event) -> None:
        for observer in (self.log, self.outcomes):
            observer.notify(event)

    def _locate(self) -> RunLocation:
        glue = self.given.glue
        return RunLocation(self.output.target, glue.get("JOB_NAME", ""), glue.get("JOB_RUN_ID", ""))

    def _run_job(self, runtime: str) -> RunResult:
        if self.given.problems:
            raise UsageError("; ".join(self.given.problems))
        self.output.check()
        read_log_level(self.given)
        spec, environment = split_environment(require_spec(self.given))
        self.result = replace(self.result, environment=environment)
        job = self._load_job(spec, environment)
        deadline, stop_after = choose_time_limits(job, self.given.ours.get("deadline", ""))
        self._log_message(
            "info",
            "job_loaded",
            job=job.name,
            spec=spec,
            **({"environment": environment} if environment else {}),
            runtime=runtime,
            **self._list_glue_ids(),
        )
        if any(registry()[step.action].calls_user_code for step in job.action_steps):
            spark_job.resolve_options(self.given.glue)
        return self._execute(replace(job, deadline=deadline), stop_after, runtime)

    def _load_job(self, spec: str, environment: str) -> Job:
        """Returns the job of the spec with the params of the run. Raises SpecError, UsageError."""
        given = self.given.params
        job = api.load(
            spec,
            given,
            identity=self.identity,
            more_names=ENTRY_ARGUMENTS,
            ignored_names=[name for name in given if "-" in name],
            code_is_here=spec.startswith("s3://"),
            env=environment,
        )
        self.result = replace(self.result, job=job.name)
        self.job = job
        check_params(job, given)
        hint = "it is taken for one of Glue's own; the spec has no such param"
        for name in given:
            if name not in job.params:
                self._log_message("warning", "unknown_argument", argument=f"--{name}", hint=hint)
        if job.glue is not None and not self.identity.region:  # the spec's
            self.identity = replace(self.identity, region=job.glue.region)
        return job

    def _execute(self, job: Job, stop_after: Optional[float], runtime: str) -> RunResult:
        """Runs the steps; a signal or a time limit stops them."""
        ours = self.given.ours
        cancel = Cancel()
        with (
            self._stopped_after(stop_after, cancel),
            _stopped_by_signal(cancel),
            GcTuner() as settling,
        ):
            run = partial(
                api.run,
                job,
                identity=self.identity,
                observers=[self.log, self, settling],
                run_id=self.result.run_id,
                cancel=cancel,
                run_key=ours.get("run_key", ""),
                location=self._locate(),
                traceparent=ours.get("traceparent", ""),
            )
            return spark_job.run_in_glue_job(job, self.given.glue, runtime, run)

    def _list_glue_ids(self) -> dict[str, str]:
        glue = self.given.glue
        names = ("JOB_NAME", "JOB_RUN_ID", "WORKFLOW_NAME", "WORKFLOW_RUN_ID")
        return {name.lower(): glue[name] for name in names if glue.get(name)}

    @contextmanager
    def _stopped_after(self, seconds: Optional[float], cancel: Cancel) -> Iterator[None]:
        """Stops the run before Glue kills the process, so that result and state are written."""
        if seconds is None:
            yield
            return
        self._timer = threading.Timer(seconds, partial(self._stop_run, cancel))
        self._timer.daemon = True
        try:
            yield
        finally:
            self._timer.cancel()

    def _stop_run(self, cancel: Cancel) -> None:
        self._log_message(
            "error",
            "out_of_time",
            hint="Glue's timeout is near: running steps are stopped so that the result is written",
        )
        self.out_of_time = True
        cancel.expire("the run was stopped because Glue's timeout was near")

    def write_result(self) -> Optional[Failure]:
        """Writes the result file if one is requested; returns a failure if that fails."""
        return self.output.write(self.result, self.identity)

    def _log_message(self, level: str, message: str, **values: object) -> None:
        self.log.notify(Note("", level, message, values))


@contextmanager
def _stopped_by_signal(cancel: Cancel) -> Iterator[None]:
    """Cancels the run cleanly on SIGTERM; only the main thread can handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: cancel.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
