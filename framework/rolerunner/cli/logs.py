"""Implements ``rolerunner logs``."""

from __future__ import annotations

import sys
from typing import Optional

import click

from rolerunner import api
from rolerunner.cli.common import ENV, FAILED_STEP, SETTINGS, SPEC, echo
from rolerunner.cli.glue_jobs import JOB_NAME, REGION, open_runs
from rolerunner.cli.sandboxed import GLUE_SANDBOX, find_deployment_target


@click.command(context_settings=SETTINGS)
@SPEC
@click.argument("run_id", metavar="[RUN_ID]", required=False)
@ENV
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the run ends.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Polling interval.",
)
@JOB_NAME
@REGION
@click.option(
    "--role",
    metavar="ALIAS",
    help="Read logs under this role of the spec; defaults to your own identity.",
)
@GLUE_SANDBOX
def logs(
    spec: str,
    run_id: Optional[str],
    env: str,
    follow: bool,
    interval: float,
    job_name: Optional[str],
    region: Optional[str],
    role: Optional[str],
    sandbox: Optional[str],
) -> None:
    """Print the logs of a run of the Glue job, output and errors; defaults to the newest run.

    \b
    rolerunner logs nightly.yaml --follow
    rolerunner logs nightly.yaml --env prod
    rolerunner logs nightly.yaml jr_0123 | grep step_finished

    Exit status with --follow: 0 the run succeeded, 4 it did not.
    """
    from rolerunner.glue.deploy.runs import SUCCEEDED  # noqa: PLC0415 - imports botocore
    from rolerunner.glue.deploy.settings import resolve_settings  # noqa: PLC0415

    job = api.load(spec, complete=False, env=env)
    settings = resolve_settings(job, {"job_name": job_name, "region": region})
    target = find_deployment_target(job, settings, sandbox)
    runs = open_runs(job, target, role)
    run = runs.get(run_id) if run_id else runs.find_newest()
    for line in runs.follow(run.id, interval) if follow else runs.lines(run):
        echo(line.text)
    if not follow:
        return
    ended = runs.get(run.id)
    if ended.state != SUCCEEDED:
        echo(f"rolerunner: {ended.state} after {ended.seconds} s: {runs.reason(ended)}", err=True)
        sys.exit(FAILED_STEP)
