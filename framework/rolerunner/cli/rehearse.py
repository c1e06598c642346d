"""Implements ``rolerunner rehearse``."""

from __future__ import annotations

import sys
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
)
from rolerunner.cli.sandboxed import DEFAULT_FILE, describe_sandbox
from rolerunner.errors import RolesRefused
from rolerunner.glue.launch.runtime import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.rehearsal.rehearsal import Rehearsal
    from rolerunner.model import Job

_ALL = "all"


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--runtime",
    type=click.Choice([*RUNTIMES, _ALL]),
    help="Glue runtime to rehearse, or all of them; defaults to that of the spec's glue section.",
)
@click.option(
    "--sandbox",
    default=DEFAULT_FILE,
    metavar="FILE",
    show_default=False,
    help="Contents of the local AWS sandbox; defaults to SPEC's name with .sandbox.yaml; "
    "without one, the contents are derived from the spec.",
)
@click.option(
    "--put",
    "puts",
    multiple=True,
    metavar="S3_URI=FILE",
    help="Object that exists in the sandbox when the job starts.",
)
@click.option(
    "--install-pythons",
    is_flag=True,
    help="Have uv install interpreters that this machine does not have.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text: a table, and the end of the log of what failed.",
)
def rehearse(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    runtime: Optional[str],
    sandbox: str,
    puts: Sequence[str],
    install_pythons: bool,
    form: str,
) -> None:
    """Start the job of a spec on this machine as Glue would start it.

    Builds the bundle, installs it with the runtime's own packages and without a package index, and
    runs the entry script with Glue's arguments against the local AWS sandbox. The first rehearsal
    of a runtime downloads its packages to ~/.cache/rolerunner; later ones take seconds.

    \b
    rolerunner rehearse nightly.yaml -p run_date=2026-01-31
    rolerunner rehearse nightly.yaml --runtime glue-5.1
    rolerunner rehearse nightly.yaml --runtime all --install-pythons
    rolerunner rehearse nightly.yaml --runtime all --format json

    Exit status: 0 every runtime starts and the job succeeds, 2 invalid spec, command line or
    missing interpreter, 3 a role was refused, 4 a runtime does not start or the job fails.
    """
    from rolerunner.glue.rehearsal import report  # noqa: PLC0415
    from rolerunner.glue.rehearsal.interpreters import (  # noqa: PLC0415
        check_platform,
        find_interpreters,
    )
    from rolerunner.glue.rehearsal.rehearsal import Stage, rehearse_job  # noqa: PLC0415

    check_platform()
    given = read_params(params, params_file)
    deployed = _read_job_params(api.load(spec, complete=False, env=env))
    job = api.load(spec, {**deployed, **given}, env=env)
    runtimes = [RUNTIMES[name] for name in _choose_runtimes(job, runtime)]
    interpreters = find_interpreters(runtimes, install=install_pythons)
    stage = Stage(*describe_sandbox(spec, sandbox, job, given=given, puts=puts))
    texts = {name: str(value) for name, value in given.items()}
    rehearsals = []
    for each in runtimes:
        echo(f"rehearses {each.name} on {interpreters[each.python]}", err=True)
        done = rehearse_job(
            job,
            each,
            interpreters[each.python],
            stage,
            texts,
            lambda line: echo(f"    {line}", err=True),
        )
        rehearsals.append(done)
    render = report.render_json if form == "json" else report.render_text
    echo(render(rehearsals))
    sys.exit(_choose_status(rehearsals))


def _choose_runtimes(job: Job, given: Optional[str]) -> Sequence[str]:
    if given == _ALL:
        return [*RUNTIMES]
    return [given or (job.glue.runtime if job.glue is not None else next(iter(RUNTIMES)))]


def _read_job_params(job: Job) -> Mapping[str, str]:
    """Returns the params that the deployed job has of its own."""
    return {**job.glue.params, **job.glue.fixed_params} if job.glue is not None else {}


def _choose_status(rehearsals: Sequence[Rehearsal]) -> int:
    failed = [each for each in rehearsals if not each.succeeded]
    refused = any(each.error_type == RolesRefused.__name__ for each in failed)
    return RolesRefused.exit_status if refused else FAILED_STEP if failed else 0
