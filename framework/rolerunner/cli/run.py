"""Implements ``rolerunner run``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Optional

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
    read_params,
    warn_of_secrets,
)
from rolerunner.cli.result_files import record_result
from rolerunner.cli.sandboxed import (
    DEFAULT_FILE,
    enter_sandbox,
    explain_refusals,
    find_served_sandbox,
)
from rolerunner.cli.signals import exit_now, stop_on_signals
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RolesRefused, SecretsFailed
from rolerunner.model import RunLocation
from rolerunner.observers.gc_tuner import GcTuner
from rolerunner.redaction.printing import redact_prints
from rolerunner.run.selection import find_name_mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rolerunner.events import Observer
    from rolerunner.model import Job

_POLICY_ERRORS = ("AccessDenied", "AccessDeniedException", "RoleRefused")
"""Error types that are caused by a policy."""


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--sandbox",
    is_flag=False,
    flag_value=DEFAULT_FILE,
    default=None,
    metavar="[FILE]",
    help="Run in the local AWS sandbox, which enforces IAM. FILE describes its contents and "
    "defaults to SPEC's name with .sandbox.yaml; "
    "without one, the contents are derived from the spec.",
)
@click.option(
    "--put",
    "puts",
    multiple=True,
    metavar="S3_URI=FILE",
    help="With --sandbox: object that exists when the run starts.",
)
@click.option(
    "--resume",
    metavar="KEY",
    help="Resume the run with this key: finished, unchanged steps are skipped.",
)
@click.option(
    "--run-key",
    metavar="KEY",
    help="Keep the state under this key and resume from it if it exists; defaults to the run's id.",
)
@click.option(
    "--take-over", is_flag=True, help="Take over a key that another, dead run still holds."
)
@click.option(
    "--only",
    "only",
    multiple=True,
    metavar="ID",
    help="Run only this step, or part of a group: GROUP.STEP, GROUP[ITEM] or GROUP[ITEM].STEP; "
    "repeat for more.",
)
@click.option("--from", "start", metavar="ID", help="Run this step and all later ones.")
@click.option("--result", metavar="FILE", help="Write the result as JSON, also after a failure.")
@click.option(
    "--report",
    metavar="FILE",
    help="Write the result as an HTML page, also after a failure.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "console", "json"]),
    default="auto",
    show_default=True,
    help="auto: progress and a table on a terminal, otherwise one JSON line per event.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Minimum level of log lines.",
)
def run(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    sandbox: Optional[str],
    puts: Sequence[str],
    resume: Optional[str],
    run_key: Optional[str],
    take_over: bool,
    only: Sequence[str],
    start: Optional[str],
    result: Optional[str],
    report: Optional[str],
    log_format: str,
    log_level: str,
) -> bool:
    """Run a spec.

    \b
    rolerunner run nightly.yaml -p run_date=2026-01-31
    rolerunner run nightly.yaml --env dev
    rolerunner run nightly.yaml --sandbox
    rolerunner run nightly.yaml --sandbox --put s3://landing/orders/=sample.csv
    rolerunner run s3://jobs/nightly.yaml --result out.json --log-format json
    rolerunner run nightly.yaml --resume 20260131T020000Z-1a2b3c
    rolerunner run nightly.yaml --only 'partners[north].fetch'
    """
    key = _choose_run_key(resume, run_key)
    with ExitStack() as stack:
        settling = stack.enter_context(GcTuner())
        cancel = Cancel()
        signals = stack.enter_context(stop_on_signals(cancel))
        files = stack.enter_context(record_result(result, report))
        given = read_params(params, params_file)
        job = api.load(spec, given, code_is_here=True, env=env)
        warn_of_secrets(job, params)
        if puts and not sandbox:
            raise click.UsageError("--put requires --sandbox")
        identity = (
            enter_sandbox(stack, spec, sandbox, job, given=given, puts=puts, env=env)
            if sandbox
            else None
        )
        explain = partial(explain_refusals, spec, sandbox, env) if sandbox else None
        log = _create_log_observer(log_format, log_level)
        signals.begin_run()
        with _explain_on_refusal(explain), redact_prints():
            ended = api.run(
                job,
                identity=identity and replace(identity, is_shared=True),
                observers=[log, files, settling],
                cancel=cancel,
                run_key=key,
                resume=resume is not None,
                take_over=take_over,
                only=_select_steps(job, only, start),
                location=_locate_result(result or report),
            )
    is_lost = files.print_lost_result()
    failures = [step.error.type for step in ended.action_steps if step.error is not None]
    is_failed = ended.status not in ("succeeded", "warning")
    if is_failed and explain is not None and any(each in _POLICY_ERRORS for each in failures):
        explain()
    if (is_failed or failures) and _is_state_kept(job, spec, sandbox, env):
        echo(f"rolerunner: resume with: --resume {key or ended.run_id}", err=True)
    if is_failed or is_lost:
        if ended.status == "stopped":
            signals.exit_if_received()
        exit_now(FAILED_STEP)
    return not settling.is_foreign_code_called


def _is_state_kept(job: Job, spec: str, sandbox: Optional[str], env: str) -> bool:
    """Returns False without a state, and where the S3 of it ended with the run's own sandbox."""
    if job.state is None:
        return False
    is_in_sandbox = bool(sandbox) and job.state.location.startswith("s3://")
    return not is_in_sandbox or find_served_sandbox(spec, str(sandbox), env) is not None


@contextmanager
def _explain_on_refusal(explain: Optional[Callable[[], None]]) -> Iterator[None]:
    """Calls ``explain`` if roles or secrets are refused inside the block."""
    try:
        yield
    except SecretsFailed as error:
        if explain is not None and any(each.type in _POLICY_ERRORS for each in error.failures):
            explain()
        raise
    except RolesRefused:
        if explain is not None:
            explain()
        raise


def _locate_result(file: Optional[str]) -> RunLocation:
    return RunLocation(str(Path(file).absolute()) if file else "")


def _choose_run_key(resume: Optional[str], run_key: Optional[str]) -> str:
    if resume is not None and run_key is not None:
        raise click.UsageError("--resume and --run-key exclude each other")
    return resume or run_key or ""


def _select_steps(job: Job, only: Sequence[str], start: Optional[str]) -> frozenset[str]:
    """Returns the ids of the steps to run; empty means all."""
    ids = [step.id for step in job.steps]
    for name in (*only, *([start] if start else [])):
        message, hint = find_name_mistake(job, name)
        if message:
            raise click.UsageError(f"{message} ({hint})" if hint else message)
    if start is not None and start not in ids:
        raise click.UsageError(f"--from begins with a whole step or group, not with '{start}'")
    return frozenset(only) | frozenset(ids[ids.index(start) :] if start else ())


def _create_log_observer(log_format: str, log_level: str) -> Observer:
    """Returns the observer that writes to standard output."""
    if log_format == "console" or (log_format == "auto" and sys.stdout.isatty()):
        from rolerunner.observers.terminal import Terminal  # noqa: PLC0415 - rich takes 60 ms

        return Terminal()
    from rolerunner.observers.log import Log, configure_stdout  # noqa: PLC0415

    return Log(configure_stdout(), level=log_level)
