"""Implements ``rolerunner start``."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner import api
from rolerunner.cli.common import (
    ENV,
    FAILED_STEP,
    PARAM,
    PARAMS_FILE,
    SETTINGS,
    SPEC,
    echo,
    format_spec,
    read_params,
)
from rolerunner.cli.glue_jobs import (
    JOB_NAME,
    REGION,
    DeployOptions,
    deploy_job,
    open_runs,
    reject_secret_params,
)
from rolerunner.cli.sandboxed import GLUE_SANDBOX, enter_deployment_target, find_deployment_target
from rolerunner.errors import StepError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.deploy.runs import JobRun, JobRuns
    from rolerunner.model import GlueSettings, Job

_REPORT_SECONDS = 60.0
"""Seconds between two lines while the state does not change."""
_SANDBOX_SECONDS = 0.5
"""Longest polling interval in the sandbox."""


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--run-key",
    metavar="KEY",
    help="Keep the state under this key and resume from it if it exists.",
)
@click.option("--no-wait", is_flag=True, help="Print the run's id and return without waiting.")
@click.option("-f", "--follow", is_flag=True, help="Print the log while the job runs.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Polling interval.",
)
@JOB_NAME
@REGION
@click.option(
    "--role",
    metavar="ALIAS",
    help="Start under this role of the spec; defaults to your own identity.",
)
@GLUE_SANDBOX
def start(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    run_key: Optional[str],
    no_wait: bool,
    follow: bool,
    interval: float,
    job_name: Optional[str],
    region: Optional[str],
    role: Optional[str],
    sandbox: Optional[str],
) -> None:
    """Start the Glue job of a spec and wait until it ends. Params are checked first.

    \b
    rolerunner start nightly.yaml -p run_date=2026-01-31
    rolerunner start nightly.yaml -p run_date=2026-01-31 --follow
    rolerunner start nightly.yaml -p run_date=2026-01-31 --no-wait
    rolerunner start nightly.yaml --env prod
    rolerunner start nightly.yaml -p run_date=2026-01-31 --sandbox

    With --sandbox and no running sandbox, the job is deployed to a new one first.

    Exit status: 0 the run succeeded, 2 invalid params, 4 the run did not succeed.
    """
    job, settings, loaded, arguments = _check_params(
        spec, env, read_params(params, params_file), job_name, region
    )
    with ExitStack() as stack:
        target = (
            find_deployment_target(loaded, settings, sandbox)
            if no_wait
            else enter_deployment_target(stack, loaded, settings, sandbox, given=arguments)
        )
        if not target.is_lasting:
            deploy_job(job, target, role or "", DeployOptions())
        runs = open_runs(job, target, role)
        if job.environments:
            runs.require_environment(job.environment)
        run_id = runs.start({**arguments, **({"run_key": run_key} if run_key else {})})
        echo(run_id)
        if not no_wait:
            _wait(
                runs,
                run_id,
                min(interval, _SANDBOX_SECONDS) if sandbox else interval,
                job,
                follow=follow,
            )


def _wait(runs: JobRuns, run_id: str, interval: float, job: Job, *, follow: bool) -> None:
    """Waits for the end of a run; exits with status 4 unless it succeeds."""
    from rolerunner.glue.deploy.runs import SUCCEEDED  # noqa: PLC0415 - imports botocore

    logs = f"rolerunner logs {format_spec(job)} {run_id}"
    try:
        for line in runs.follow(run_id, interval) if follow else ():
            echo(line.text)
        ended = runs.wait(run_id, _Progress().tell, interval)
    except KeyboardInterrupt:
        echo(
            f"rolerunner: the run continues; follow it: {logs} --follow",
            err=True,
        )
        raise
    except StepError as error:
        echo(
            f"rolerunner: how the run ended is not known: {error}; it may still be running: {logs}",
            err=True,
        )
        sys.exit(FAILED_STEP)
    if ended.state != SUCCEEDED:
        echo(f"rolerunner: {ended.state} after {ended.seconds} s: {runs.reason(ended)}", err=True)
        sys.exit(FAILED_STEP)
    echo(f"succeeded in {ended.seconds} s, {ended.dpu_seconds:g} DPU-seconds")


def _check_params(
    spec: str,
    env: str,
    given: Mapping[str, Any],
    job_name: Optional[str],
    region: Optional[str],
) -> tuple[Job, GlueSettings, Job, dict[str, str]]:
    """Returns the job, its settings, the job with its params, and the params as text.

    Raises UsageError for a param that is invalid, missing or fixed.
    """
    from rolerunner.glue.deploy.settings import resolve_settings  # noqa: PLC0415
    from rolerunner.spec.glue_arguments import NO_DASHES, format_argument  # noqa: PLC0415
    from rolerunner.spec.values import FileValue  # noqa: PLC0415

    job = api.load(spec, complete=False, env=env)
    settings = resolve_settings(job, {"job_name": job_name, "region": region})
    fixed = next((name for name in given if name in settings.fixed_params), None)
    if fixed is not None:
        raise UsageError(f"the param '{fixed}' is fixed by 'fixed_params' under 'glue' in the spec")
    loaded = api.load(spec, {**settings.params, **settings.fixed_params, **given}, env=env)
    reject_secret_params(job, given)
    start_fields = {
        name: format_argument(value.value if isinstance(value, FileValue) else value)
        for name, value in given.items()
    }
    wrong = next((name for name, value in start_fields.items() if value.startswith("--")), None)
    if wrong is not None:
        raise UsageError(f"the param '{wrong}' {NO_DASHES}")
    return job, settings, loaded, start_fields


class _Progress:
    """Prints a line for each new state, and one a minute."""

    def __init__(self) -> None:
        self.state = ""
        self.reported_at = 0.0

    def tell(self, run: JobRun) -> None:
        """Prints the state if it changed or a minute has passed."""
        now = time.monotonic()
        if run.state != self.state or now - self.reported_at >= _REPORT_SECONDS:
            self.state, self.reported_at = run.state, now
            echo(
                f"{time.strftime('%H:%M:%S')} {run.state.lower()}"
                + (f", {run.seconds} s" if run.seconds else ""),
                err=True,
            )
