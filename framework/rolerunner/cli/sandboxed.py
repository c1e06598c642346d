"""Runs the sandbox for the duration of a command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

import click

from rolerunner import api
from rolerunner.cli.common import echo, format_spec
from rolerunner.errors import UsageError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import ExitStack

    from rolerunner.model import GlueSettings, Job, Plan
    from rolerunner.policies.least_privilege import JobRoleUses
    from rolerunner.sandbox import Sandbox, World
    from rolerunner.sandbox.running import RunningSandbox
    from rolerunner.sessions.identity import JobIdentity

DEFAULT_FILE = "beside"
"""Value of ``--sandbox`` without a file."""
GLUE_SANDBOX = click.option(
    "--sandbox",
    is_flag=False,
    flag_value=DEFAULT_FILE,
    default=None,
    metavar="[FILE]",
    help="Use the local AWS sandbox: the one that 'rolerunner sandbox SPEC' keeps running, else "
    "one for this command alone. FILE describes its contents and defaults to SPEC's name with "
    ".sandbox.yaml; without one, the contents are derived from the spec.",
)


@dataclass(frozen=True)
class DeploymentTarget:
    """The place of a deployment: the AWS account of the user, or a sandbox."""

    settings: GlueSettings
    identity: Optional[JobIdentity] = None
    """Deploys, starts and reads logs; the machine's own by default."""
    is_lasting: bool = True
    """False for a sandbox that ends with the command."""


def enter_sandbox(
    stack: ExitStack,
    spec: str,
    file: str,
    job: Optional[Job] = None,
    *,
    given: Collection[str] = (),
    puts: Sequence[str] = (),
    env: str = "",
) -> JobIdentity:
    """Starts the sandbox until the stack closes; returns the identity of the job in it.

    Where ``rolerunner sandbox`` serves the spec's sandbox, that one is used and stays. Without a
    sandbox file, its contents are derived from ``job``. ``given`` holds the
    params of the command line; ``puts`` are additional objects as s3://bucket/key=FILE.
    ``env`` names an environment of the spec. Raises UsageError, SandboxError.
    """
    from rolerunner import sandbox  # noqa: PLC0415 - starts nothing unless asked for
    from rolerunner.sandbox.proxies import bypass_proxies  # noqa: PLC0415
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415
    from rolerunner.sessions.keys import Keys  # noqa: PLC0415

    bypass_proxies()
    served = find_served_sandbox(spec, file, env)
    if served is not None:
        _describe_served(served)
        served.put_objects(dict(_parse_put(each) for each in puts))
        return served.job_identity()
    world, folder = describe_sandbox(spec, file, job, given=given, puts=puts)
    running = stack.enter_context(sandbox.start_sandbox(world, folder))
    keys = running.job_keys
    return JobIdentity(
        running.region,
        keys=Keys(keys.access_key, keys.secret_key, keys.token),
        endpoints={"": running.endpoint},
    )


def describe_sandbox(
    spec: str,
    file: str,
    job: Optional[Job] = None,
    *,
    given: Collection[str] = (),
    puts: Sequence[str] = (),
) -> tuple[World, Path]:
    """Returns the world of a command's sandbox, and the folder that its files are relative to.

    The arguments are those of ``enter_sandbox``. Raises UsageError, SandboxError.
    """
    from rolerunner import sandbox  # noqa: PLC0415

    objects = dict(_parse_put(each) for each in puts)
    path = _default_file(spec) if file == DEFAULT_FILE else Path(file)
    if job is not None and file == DEFAULT_FILE and not path.exists():
        return _generate_world(job, _plan_policies(job, given), objects), path.parent
    return sandbox.add_objects(sandbox.load_world(_require_file(path)), objects), path.parent


def enter_deployment_target(
    stack: ExitStack,
    job: Job,
    settings: GlueSettings,
    file: Optional[str],
    *,
    given: Collection[str] = (),
) -> DeploymentTarget:
    """Returns where a job is deployed; with ``file``, in the sandbox, until the stack closes.

    It is the sandbox that runs for the spec, or a new one. Raises UsageError, SandboxError.
    """
    target = _find_target(job, settings, file)
    if target is not None:
        return target
    from rolerunner.glue.rehearsal.sandboxed_run import COMMAND  # noqa: PLC0415
    from rolerunner.sandbox import start_sandbox  # noqa: PLC0415

    world, folder = describe_deployable(job, settings, str(file), given=given)
    running = stack.enter_context(start_sandbox(world, folder, job_runner=COMMAND))
    return _describe_target(settings, running, is_lasting=False)


def find_deployment_target(
    job: Job, settings: GlueSettings, file: Optional[str]
) -> DeploymentTarget:
    """Returns where a job is deployed; with ``file``, the sandbox that runs for the spec.

    Raises UsageError if none is running.
    """
    target = _find_target(job, settings, file)
    if target is None:
        raise UsageError(f"no sandbox of {job.file} is running: {hint_sandbox(job)}")
    return target


def _find_target(
    job: Job, settings: GlueSettings, file: Optional[str]
) -> Optional[DeploymentTarget]:
    from rolerunner.sandbox.proxies import bypass_proxies  # noqa: PLC0415

    if file is None:
        return DeploymentTarget(settings)
    bypass_proxies()
    running = find_served_sandbox(job.file, file, job.environment)
    if running is None:
        return None
    _describe_served(running)
    return _describe_target(settings, running, is_lasting=True)


def describe_deployable(
    job: Job,
    settings: GlueSettings,
    file: str,
    *,
    given: Collection[str] = (),
    puts: Sequence[str] = (),
) -> tuple[World, Path]:
    """Returns a world in which the job can be deployed, and the folder that its files are in.

    The other arguments are those of ``enter_sandbox``. Raises UsageError, SandboxError.
    """
    from rolerunner import sandbox  # noqa: PLC0415
    from rolerunner.glue.deploy.sandbox_world import (  # noqa: PLC0415
        add_deployment,
        complete_settings,
        describe_job_role,
    )
    from rolerunner.sandbox.from_spec import name_job_role  # noqa: PLC0415

    objects = dict(_parse_put(each) for each in puts)
    path = _default_file(job.file) if file == DEFAULT_FILE else Path(file)
    lasting = _plan_policies(job, given)
    if file == DEFAULT_FILE and not path.exists():
        settings = complete_settings(settings, name_job_role(job))
        world = _generate_world(job, lasting, objects, describe_job_role(job, settings))
        if settings.region:
            world = world.model_copy(update={"region": settings.region})
    else:
        world = sandbox.add_objects(sandbox.load_world(_require_file(path)), objects)
        settings = complete_settings(settings, world.job_role)
    deployable = add_deployment(world, lasting, settings, str(path))
    for note in deployable.notes:
        echo(f"sandbox: {note}", err=True)
    return deployable.world, path.parent


def _describe_target(
    settings: GlueSettings, running: Union[Sandbox, RunningSandbox], *, is_lasting: bool
) -> DeploymentTarget:
    from rolerunner.glue.deploy.sandbox_world import (  # noqa: PLC0415
        complete_settings,
        name_deployer,
    )
    from rolerunner.sandbox import assume_role  # noqa: PLC0415
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415
    from rolerunner.sessions.keys import Keys  # noqa: PLC0415

    settings = complete_settings(settings, running.job_role)
    settings = replace(settings, region=settings.region or running.region)
    keys = assume_role(running.endpoint, running.region, name_deployer(settings))
    identity = JobIdentity(
        settings.region,
        keys=Keys(keys.access_key, keys.secret_key, keys.token),
        endpoints={"": running.endpoint},
    )
    return DeploymentTarget(settings, identity, is_lasting)


def hint_sandbox(job: Job) -> str:
    """Returns how to keep a sandbox for several commands."""
    return f"start one in another terminal with: rolerunner sandbox {format_spec(job)}"


def find_served_sandbox(
    spec: str, file: str = DEFAULT_FILE, env: str = ""
) -> Optional[RunningSandbox]:
    """Returns the sandbox that ``rolerunner sandbox`` serves for the spec; None without one.

    With a ``file``, it must have been started with that one. Raises SandboxError.
    """
    from rolerunner.sandbox.running import find_running_sandbox  # noqa: PLC0415

    served = find_running_sandbox(spec, env)
    if served is None or file in (DEFAULT_FILE, ""):
        return served
    return served if served.file == str(Path(file).resolve()) else None


def find_file(spec: str, file: str) -> Optional[Path]:
    """Returns the sandbox file of a command; None if the contents are derived from the spec."""
    path = _default_file(spec) if file == DEFAULT_FILE else Path(file)
    return path if path.exists() else None


def explain_refusals(spec: str, file: str, env: str = "") -> None:
    """Explains which policies of the sandbox refused a request; no real account needs a change."""
    served = find_served_sandbox(spec, file, env)
    path = served.file if served is not None else find_file(spec, file)
    place = (
        f"are in {path}"
        if path
        else "are derived from the spec; declare more under a step's 'permissions'"
    )
    echo(f"rolerunner: the sandbox refused this, not AWS: its policies {place}", err=True)


def _describe_served(served: RunningSandbox) -> None:
    echo(f"sandbox: {served.endpoint}, served by process {served.pid}", err=True)
    if not served.is_current():
        echo(
            "sandbox: the spec or the sandbox file has changed since; start 'rolerunner sandbox' "
            "again to get its present roles, policies and buckets",
            err=True,
        )


def _generate_world(
    job: Job,
    lasting: Plan,
    objects: Mapping[S3Uri, Path],
    around: Optional[JobRoleUses] = None,
) -> World:
    from rolerunner.actions import registry  # noqa: PLC0415
    from rolerunner.sandbox.from_spec import generate_world  # noqa: PLC0415

    made_of_it = generate_world(api.plan(job), lasting, registry(), objects, around)
    for note in made_of_it.notes:
        echo(f"sandbox: {note}", err=True)
    return made_of_it.world


def _plan_policies(job: Job, given: Collection[str]) -> Plan:
    """Returns the plan for policies, which hold for all runs."""
    from rolerunner.policies.least_privilege import drop_run_params  # noqa: PLC0415

    return api.plan(drop_run_params(job, given))


def _parse_put(option: str) -> tuple[S3Uri, Path]:
    """Parses ``s3://bucket/key=FILE``; a key that ends with '/' gets the file's name."""
    uri, separator, file = option.partition("=")
    path = Path(file)
    try:
        place = S3Uri.parse(uri)
    except ValueError as error:
        raise UsageError(f"--put: {error}") from None
    if not separator or not file:
        raise UsageError(f"--put takes s3://bucket/key=FILE, not '{option}'")
    if not path.is_file():
        raise UsageError(f"--put: there is no file '{file}'")
    return (place.join(path.name) if place.is_prefix else place), path


def _default_file(spec: str) -> Path:
    path = Path(spec)
    return path.with_name(f"{path.stem}.sandbox.yaml")


def _require_file(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"there is no {path}: name the sandbox file, as in --sandbox FILE")
    return path
