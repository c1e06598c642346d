"""Deployment and runs of a Glue job, for the commands that share them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner.cli.common import echo, format_spec, write_file
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolerunner.cli.sandboxed import DeploymentTarget
    from rolerunner.glue.bundle.builder import Bundle
    from rolerunner.glue.deploy.deployment import Deployer
    from rolerunner.glue.deploy.runs import JobRuns
    from rolerunner.glue.deploy.settings import JobDefinition
    from rolerunner.model import Job

JOB_NAME = click.option(
    "--job-name", metavar="NAME", help="Name of the Glue job, if it differs from the spec's."
)
REGION = click.option("--region", metavar="REGION", help="Region of the Glue job.")


def reject_secret_params(job: Job, given: Iterable[str]) -> None:
    """Raises UsageError for a secret that would become a job argument."""
    secret = sorted(job.secret_params.intersection(given))
    if secret:
        raise UsageError(
            f"the param '{secret[0]}' is secret and cannot be an argument of a Glue job: "
            "Glue logs and shows arguments"
        )


def open_runs(job: Job, target: DeploymentTarget, role: Optional[str]) -> JobRuns:
    """Returns the runs of a spec's Glue job."""
    from rolerunner.glue.deploy.account import Account  # noqa: PLC0415
    from rolerunner.glue.deploy.runs import JobRuns  # noqa: PLC0415

    settings = target.settings
    return JobRuns(
        Account.of(job, role or "", settings.region, target.identity),
        settings.job_name or job.name,
        settings.runtime,
    )


@dataclass(frozen=True)
class DeployOptions:
    """Options of the command that are not settings of the job."""

    only_plan: bool = False
    emit: str = ""
    output: str = ""
    upload: bool = False
    adopt: bool = False


def deploy_job(job: Job, target: DeploymentTarget, role: str, options: DeployOptions) -> None:
    """Creates or updates the Glue job of a spec, or writes it as code. Raises RolerunnerError."""
    from rolerunner.glue.bundle import builder as building  # noqa: PLC0415
    from rolerunner.glue.deploy.settings import define_job  # noqa: PLC0415
    from rolerunner.glue.launch.runtime import RUNTIMES  # noqa: PLC0415

    settings = target.settings
    deployer = _create_deployer(job, target, role)
    with tempfile.TemporaryDirectory(prefix="rolerunner-deploy-") as folder:
        bundle = building.build_bundle(
            replace(job, glue=settings),
            RUNTIMES[settings.runtime],
            Path(folder) / "bundle",
            _print_progress,
        )
        goal = define_job(
            job, settings, bundle, str(deployer.place(bundle.hash)), deployer.account.region
        )
        if job.notify or "notify" in job.undecided:
            goal = _add_rules(job, goal, deployer, target, options)
        if options.emit:
            _emit_code(deployer, bundle, goal, options)
            return
        deployment = deployer.plan_deployment(goal, bundle.hash, adopt=options.adopt)
        echo(deployment.text())
        if options.only_plan or deployment.is_empty:
            return
        deployer.upload(bundle, _print_progress)
        deployer.apply(deployment)
        echo(
            f"deployed {bundle.hash} to {goal.name} in {deployer.account.region}"
            + _hint_start(job, target)
        )


def _add_rules(
    job: Job,
    goal: JobDefinition,
    deployer: Deployer,
    target: DeploymentTarget,
    options: DeployOptions,
) -> JobDefinition:
    """Returns the job with the rules that tell its targets of Glue's own ends; prints notes."""
    from rolerunner.glue.deploy.rules import plan_rules  # noqa: PLC0415 - few specs notify

    account = "" if options.emit else deployer.account.find_number()
    found = plan_rules(job, target.settings, goal.name, deployer.account.region, account)
    if not options.emit:
        found = found.drop_incomplete()
    if "notify" in job.undecided:
        _print_progress(
            "note: targets of 'notify' that depend on params without a value get no rule"
        )
    for note in found.notes:
        _print_progress(f"note: {note}")
    return replace(goal, rules=found.rules)


def _hint_start(job: Job, target: DeploymentTarget) -> str:
    if not target.is_lasting:
        return ""
    option = " --sandbox" if target.identity is not None else ""
    return f"; run it: rolerunner start {format_spec(job)}{option}"


def _emit_code(
    deployer: Deployer, bundle: Bundle, goal: JobDefinition, options: DeployOptions
) -> None:
    from rolerunner.glue.deploy.emit import render_job  # noqa: PLC0415

    text = render_job(goal, options.emit)
    if options.upload:
        deployer.upload(bundle, _print_progress)
    else:
        _print_progress(
            f"the code refers to {deployer.place(bundle.hash)}: add --upload to upload it"
        )
    if options.output:
        write_file(Path(options.output), text)
    else:
        echo(text, nl=False)


def roll_back(
    job: Job, target: DeploymentTarget, role: str, hash_: str, *, only_plan: bool
) -> None:
    """Deploys what an earlier deployment had set. Raises RolerunnerError."""
    from rolerunner.glue.deploy.settings import JobDefinition, job_name  # noqa: PLC0415

    deployer = _create_deployer(job, target, role)
    record = deployer.find_earlier(hash_)
    deployment = deployer.plan_deployment(
        JobDefinition(
            job_name(job, target.settings),
            record.job,
            record.tags,
            record.rules,
            record.trigger,
        ),
        record.hash,
    )
    echo(deployment.text())
    if not deployment.is_empty and not only_plan:
        deployer.apply(deployment)
        echo(f"rolled back to {record.hash}, deployed {record.time} by {record.by}")


def _create_deployer(job: Job, target: DeploymentTarget, role: str) -> Deployer:
    from rolerunner.glue.deploy.account import Account  # noqa: PLC0415
    from rolerunner.glue.deploy.deployment import Deployer  # noqa: PLC0415
    from rolerunner.glue.deploy.settings import artifact_prefix  # noqa: PLC0415

    settings = target.settings
    place = artifact_prefix(job, settings)
    return Deployer(Account.of(job, role, settings.region, target.identity), place)


def _print_progress(line: str) -> None:
    echo(line, err=True)
