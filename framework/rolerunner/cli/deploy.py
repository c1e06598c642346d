"""Implements ``rolerunner deploy``."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner import api
from rolerunner.cli.common import ENV, SETTINGS, SPEC, echo, read_params, write_file
from rolerunner.cli.glue_jobs import DeployOptions, deploy_job, reject_secret_params, roll_back
from rolerunner.cli.sandboxed import GLUE_SANDBOX, enter_deployment_target, hint_sandbox
from rolerunner.errors import SpecError, UsageError
from rolerunner.glue.launch.runtime import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.model import Job

_PREVIOUS = "the one before"
_STATES = "stepfunctions"


def _add_settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that override fields of the spec's glue section."""
    for option in reversed(
        [
            click.option(
                "--job-name",
                metavar="NAME",
                help="Name of the Glue job; defaults to the spec's name.",
            ),
            click.option(
                "--runtime",
                type=click.Choice([*RUNTIMES]),
                help="Glue runtime: Python Shell or Spark.",
            ),
            click.option(
                "--job-role", "glue_role", metavar="ARN", help="Role that the Glue job runs as."
            ),
            click.option(
                "--artifacts",
                metavar="S3URI",
                help="Prefix for the spec, the script and the wheels.",
            ),
            click.option("--region", metavar="REGION", help="Region of the Glue job."),
            click.option(
                "--capacity", type=float, metavar="DPU", help="Python Shell: 0.0625 or 1."
            ),
            click.option("--worker-type", metavar="TYPE", help="Spark: G.1X, G.2X ..."),
            click.option(
                "--workers", type=int, metavar="N", help="Spark: number of workers, at least 2."
            ),
            click.option(
                "--timeout",
                metavar="DURATION",
                help="Timeout after which Glue kills a run, such as 2h.",
            ),
            click.option(
                "--tag",
                "tags",
                multiple=True,
                metavar="NAME=VALUE",
                help="Tag of the Glue job; repeat for more.",
            ),
        ]
    ):
        command = option(command)
    return command


@click.command(context_settings=SETTINGS)
@SPEC
@ENV
@_add_settings_options
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Default param of runs; repeat for more.",
)
@click.option(
    "--plan", "only_plan", is_flag=True, help="Show what would change, without changing it."
)
@click.option(
    "--emit",
    type=click.Choice(["cloudformation", "terraform", "stepfunctions"]),
    help="Write the job as code instead of calling AWS; stepfunctions: a state that runs it.",
)
@click.option(
    "--upload", is_flag=True, help="With --emit: upload the files that the code refers to."
)
@click.option(
    "-o", "--output", metavar="FILE", help="With --emit: output file; defaults to standard output."
)
@click.option(
    "--rollback",
    is_flag=False,
    flag_value=_PREVIOUS,
    default=None,
    metavar="[HASH]",
    help="Roll back to the previous deployment, or to HASH.",
)
@click.option(
    "--permissions", is_flag=True, help="Print the policies that you and the job's role need."
)
@click.option(
    "--adopt", is_flag=True, help="Take over an existing job that rolerunner did not create."
)
@click.option(
    "--role",
    metavar="ALIAS",
    help="Deploy under this role of the spec; defaults to your own identity.",
)
@GLUE_SANDBOX
def deploy(
    spec: str,
    env: str,
    only_plan: bool,
    emit: Optional[str],
    upload: bool,
    output: Optional[str],
    rollback: Optional[str],
    permissions: bool,
    adopt: bool,
    role: Optional[str],
    sandbox: Optional[str],
    glue_role: Optional[str],
    tags: Sequence[str],
    params: Sequence[str],
    **flags: Any,
) -> None:
    """Create or update the Glue job that runs a spec. Settings made elsewhere are kept.

    \b
    rolerunner deploy nightly.yaml --plan              show the changes
    rolerunner deploy nightly.yaml
    rolerunner deploy nightly.yaml --env prod
    rolerunner deploy nightly.yaml --job-name nightly-dev -p stage=dev
    rolerunner deploy nightly.yaml --rollback          to the previous deployment
    rolerunner deploy nightly.yaml --emit terraform --upload -o glue.tf
    rolerunner deploy nightly.yaml --emit stepfunctions   a state that runs the deployed job
    rolerunner deploy nightly.yaml --permissions       policies for you and the job
    rolerunner deploy nightly.yaml --sandbox           without an account

    Settings come from 'glue' in the spec; options override them. Without changes, nothing is sent.
    """
    from rolerunner.glue.deploy import settings as wanting  # noqa: PLC0415 - imports botocore

    if (upload or output) and not emit:
        raise click.UsageError("--upload and --output require --emit")
    if upload and emit == _STATES:
        raise click.UsageError("--upload goes with --emit cloudformation and --emit terraform")
    if sandbox and (emit or permissions):
        raise click.UsageError(
            "--sandbox deploys to the sandbox, while --emit and --permissions only print what a "
            "deployment to an account needs: leave out one of them"
        )
    given = read_params(params)
    job = api.load(spec, given, complete=False, env=env)
    reject_secret_params(job, given)
    given_params = job.glue.params if job.glue is not None else {}
    settings = wanting.resolve_settings(
        job,
        {
            **flags,
            "role": glue_role,
            "tags": _parse_tags(tags, job),
            "params": {**given_params, **given} if given else {},
        },
    )
    runs_with = {**settings.params, **settings.fixed_params}
    loaded = api.load(spec, runs_with, complete=False, env=env) if permissions or sandbox else job
    if permissions:
        from rolerunner.glue.deploy.permissions import build_policies  # noqa: PLC0415
        from rolerunner.policies.least_privilege import drop_run_params  # noqa: PLC0415

        echo(
            json.dumps(
                build_policies(api.plan(drop_run_params(loaded, runs_with)), settings), indent=2
            )
        )
        return
    _reject_shared_job(replace(job, glue=settings))
    if emit == _STATES:
        from rolerunner.glue.deploy.emit_states import render_state  # noqa: PLC0415

        _print_or_write(render_state(job, settings, api.load_documents(spec, env=env)), output)
        return
    with ExitStack() as stack:
        target = enter_deployment_target(stack, loaded, settings, sandbox, given=runs_with)
        if rollback:
            hash_ = "" if rollback == _PREVIOUS else rollback
            roll_back(job, target, role or "", hash_, only_plan=only_plan)
        else:
            options = DeployOptions(only_plan, emit or "", output or "", upload, adopt)
            deploy_job(job, target, role or "", options)
        if not target.is_lasting:
            echo(f"the sandbox ends with this command; to keep one, {hint_sandbox(job)}", err=True)


def _print_or_write(text: str, output: Optional[str]) -> None:
    if output:
        write_file(Path(output), text)
    else:
        echo(text, nl=False)


def _reject_shared_job(job: Job) -> None:
    """Raises UsageError if another environment of the spec has the same Glue job."""
    if not job.environment:
        return
    from rolerunner.spec.environment_problems import shares_glue_job  # noqa: PLC0415 - few specs have environments

    for name in job.environments:
        other = _load_other(job, name) if name != job.environment else None
        if other is not None and shares_glue_job(job, other):
            raise UsageError(
                f"{job.file}: the environments '{name}' and '{job.environment}' have the "
                "same Glue job: set 'job_name' under 'glue' in one of them"
            )


def _load_other(job: Job, name: str) -> Optional[Job]:
    """Returns the job under another environment, whose mistakes are no concern of this one."""
    with suppress(SpecError):
        return api.load(job.file, complete=False, env=name)
    return None


def _parse_tags(pairs: Sequence[str], job: Job) -> dict[str, str]:
    wrong = next((each for each in pairs if "=" not in each), None)
    if wrong is not None:
        raise UsageError(f"--tag takes NAME=VALUE, not '{wrong}'")
    given = dict(each.split("=", 1) for each in pairs)
    return {**(job.glue.tags if job.glue is not None else {}), **given} if given else {}
