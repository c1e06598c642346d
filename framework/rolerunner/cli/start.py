"""Implements ``rolerunner start``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner import api
from rolerunner.cli.common import FAILED_STEP, PARAM, PARAMS_FILE, SETTINGS, SPEC, echo, read_params
from rolerunner.errors import StepError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolerunner.glue.deploy.runs import JobRun, JobRuns
    from rolerunner.model import GlueSettings, Job

_REPORT_SECONDS = 60.0
"""Seconds between two lines while the state does not change."""


JOB_NAME = click.option(
    "--job-name", metavar="NAME", help="Name of the Glue job, if it differs from the spec's."
)
REGION = click.option("--region", metavar="REGION", help="Region of the Glue job.")


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
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
def start(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    run_key: Optional[str],
    no_wait: bool,
    follow: bool,
    interval: float,
    job_name: Optional[str],
    region: Optional[str],
    role: Optional[str],
) -> None:
    """Start the Glue job of a spec and wait until it ends. Params are checked first.

    \b
    rolerunner start nightly.yaml -p run_date=2026-01-31
    rolerunner start nightly.yaml -p run_date=2026-01-31 --follow
    rolerunner start nightly.yaml -p run_date=2026-01-31 --no-wait

    Exit status: 0 the run succeeded, 2 invalid params, 4 the run did not succeed.
    """
    from rolerunner.glue.deploy.runs import SUCCEEDED  # noqa: PLC0415 - imports botocore

    runs, given = _prepare_run(spec, read_params(params, params_file), job_name, region, role)
    run_id = runs.start({**given, **({"run_key": run_key} if run_key else {})})
    echo(run_id)
    if no_wait:
        return
    try:
        for line in runs.follow(run_id, interval) if follow else ():
            echo(line.text)
        ended = runs.wait(run_id, _Progress().tell, interval)
    except KeyboardInterrupt:
        echo(
            f"rolerunner: the run continues; follow it: rolerunner logs {spec} {run_id} --follow",
            err=True,
        )
        raise
    except StepError as error:
        echo(
            f"rolerunner: how the run ended is not known: {error}; "
            f"it may still be running: rolerunner logs {spec} {run_id}",
            err=True,
        )
        sys.exit(FAILED_STEP)
    if ended.state != SUCCEEDED:
        echo(f"rolerunner: {ended.state} after {ended.seconds} s: {runs.reason(ended)}", err=True)
        sys.exit(FAILED_STEP)
    echo(f"succeeded in {ended.seconds} s, {ended.dpu_seconds:g} DPU-seconds")


def _prepare_run(
    spec: str,
    given: Mapping[str, Any],
    job_name: Optional[str],
    region: Optional[str],
    role: Optional[str],
) -> tuple[JobRuns, dict[str, str]]:
    """Returns the job's runs and the params as text.

    Raises UsageError for a param that is invalid, missing or fixed.
    """
    from rolerunner.glue.deploy.settings import resolve_settings  # noqa: PLC0415
    from rolerunner.spec.glue_fields import NO_DASHES, format_argument  # noqa: PLC0415
    from rolerunner.spec.values import FileValue  # noqa: PLC0415

    job = api.load(spec, complete=False)
    settings = resolve_settings(job, {"job_name": job_name, "region": region})
    fixed = next((name for name in given if name in settings.fixed_params), None)
    if fixed is not None:
        raise UsageError(f"the param '{fixed}' is fixed by 'fixed_params' under 'glue' in the spec")
    api.load(spec, {**settings.params, **settings.fixed_params, **given})
    reject_secret_params(job, given)
    start_fields = {
        name: format_argument(value.value if isinstance(value, FileValue) else value)
        for name, value in given.items()
    }
    wrong = next((name for name, value in start_fields.items() if value.startswith("--")), None)
    if wrong is not None:
        raise UsageError(f"the param '{wrong}' {NO_DASHES}")
    return open_runs(job, settings, role), start_fields


def reject_secret_params(job: Job, given: Iterable[str]) -> None:
    """Raises UsageError for a secret that would become a job argument."""
    secret = sorted(job.secret_params.intersection(given))
    if secret:
        raise UsageError(
            f"the param '{secret[0]}' is secret and cannot be an argument of a Glue job: "
            "Glue logs and shows arguments"
        )


def open_runs(job: Job, settings: GlueSettings, role: Optional[str]) -> JobRuns:
    """Returns the runs of a spec's Glue job."""
    from rolerunner.glue.deploy.account import Account  # noqa: PLC0415
    from rolerunner.glue.deploy.runs import JobRuns  # noqa: PLC0415

    return JobRuns(
        Account.of(job, role or "", settings.region),
        settings.job_name or job.name,
        settings.runtime,
    )


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
