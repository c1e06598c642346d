"""Implements ``rolerunner sandbox``."""

from __future__ import annotations

import json
import os
import shlex
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner import api
from rolerunner.cli.common import ENV, PARAM, PARAMS_FILE, SETTINGS, SPEC, echo, read_params
from rolerunner.cli.sandboxed import (
    DEFAULT_FILE,
    describe_deployable,
    describe_sandbox,
    find_file,
    find_served_sandbox,
)
from rolerunner.cli.signals import handle_signals
from rolerunner.common.wording import format_count
from rolerunner.errors import SandboxError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rolerunner.model import GlueSettings, Job
    from rolerunner.sandbox import Sandbox, World
    from rolerunner.sandbox.running import RunningSandbox
    from rolerunner.sandbox.world import SandboxBucket

_POLL_SECONDS = 0.5


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--file",
    metavar="FILE",
    help="Sandbox file with the contents; defaults to SPEC's name with .sandbox.yaml. "
    "Without one, the contents are derived from the spec.",
)
@click.option(
    "--put",
    "puts",
    multiple=True,
    metavar="S3_URI=FILE",
    help="Object that exists from the start; repeat for more.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port on 127.0.0.1; defaults to a free one.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["env", "json"]),
    default="env",
    show_default=True,
    help="env: export lines for a shell, with comments; json: one object.",
)
def sandbox(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    file: Optional[str],
    puts: Sequence[str],
    port: Optional[int],
    output_format: str,
) -> None:
    """Serve the local AWS of a spec to other programs until Ctrl-C.

    \b
    rolerunner sandbox nightly.yaml
    rolerunner sandbox nightly.yaml -p run_date=2026-01-31 --port 4566
    rolerunner sandbox nightly.yaml --put s3://landing/orders/=sample.csv --format json

    It prints the environment in which aws, boto3 and Spark reach it as the job. Meanwhile
    `rolerunner run SPEC --sandbox` in another terminal uses this sandbox.
    """
    from rolerunner.glue.rehearsal.sandboxed_run import COMMAND  # noqa: PLC0415
    from rolerunner.sandbox import start_sandbox  # noqa: PLC0415
    from rolerunner.sandbox.proxies import bypass_proxies  # noqa: PLC0415
    from rolerunner.sandbox.running import publish_sandbox  # noqa: PLC0415

    _require_none(spec, env)
    bypass_proxies()
    given = read_params(params, params_file)
    job, settings = _load_job(spec, given, env)
    named = file or DEFAULT_FILE
    world, folder = _describe_world(job, settings, named, puts)
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_on_signal())
        running = stack.enter_context(start_sandbox(world, folder, port or 0, COMMAND))
        contents = find_file(spec, named)
        served = stack.enter_context(publish_sandbox(running, spec, contents, job.roles, env))
        profiles = [name for name, role in job.roles.items() if not role.is_job]
        render = _render_json if output_format == "json" else _render_environment
        # not echo: it would mask the keys, which open nothing but this sandbox
        click.echo(render(served, world, profiles))
        _wait(stop, running)


def _load_job(spec: str, given: Mapping[str, object], env: str) -> tuple[Job, GlueSettings]:
    """Returns the job with the params that its Glue job sets, and the settings of that."""
    from rolerunner.glue.deploy.settings import resolve_settings  # noqa: PLC0415

    settings = resolve_settings(api.load(spec, given, complete=False, env=env), {})
    params = {**settings.params, **settings.fixed_params, **given}
    return api.load(spec, params, code_is_here=True, env=env), settings


def _describe_world(
    job: Job, settings: GlueSettings, file: str, puts: Sequence[str]
) -> tuple[World, Path]:
    """Returns a world in which the job can also be deployed, if it has the role for that.

    Its policies are for every date, since it outlives a run.
    """
    try:
        return describe_deployable(job, settings, file, puts=puts)
    except UsageError as error:
        described = describe_sandbox(job.file, file, job, puts=puts)
        echo(f"sandbox: the job cannot be deployed to it: {error}", err=True)
        return described


def _require_none(spec: str, env: str) -> None:
    """Raises UsageError if another process serves the spec's sandbox."""
    served = find_served_sandbox(spec, env=env)
    if served is not None:
        raise UsageError(
            f"the sandbox of {spec} is already there: {served.endpoint}, "
            f"served by process {served.pid}; end that process to start anew"
        )


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yields an event that is set when the user or the system asks the command to end."""
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        stop.set()

    with handle_signals(on_signal):
        yield stop


def _wait(stop: threading.Event, running: Sandbox) -> None:
    while not stop.wait(_POLL_SECONDS):
        if running.server.has_ended():
            raise SandboxError("the sandbox's process has ended; start it again")
    echo("sandbox: stopped", err=True)


def _list_variables(served: RunningSandbox) -> dict[str, str]:
    """Returns the environment in which a program is the job in the sandbox."""
    from rolerunner.sandbox.proxies import list_bypasses  # noqa: PLC0415

    keys = served.job_keys
    return {
        **list_bypasses(os.environ),
        "AWS_ENDPOINT_URL": served.endpoint,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_REGION": served.region,
        "AWS_DEFAULT_REGION": served.region,
        "AWS_CONFIG_FILE": served.config_file,
    }


def _render_environment(served: RunningSandbox, world: World, profiles: Sequence[str]) -> str:
    variables = _list_variables(served).items()
    return "\n".join(
        [
            f"# Sandbox of {served.spec}, until Ctrl-C. Its keys open nothing else.",
            *(f"export {name}={shlex.quote(value)}" for name, value in variables),
            "unset AWS_PROFILE AWS_DEFAULT_PROFILE",
            f"# the job:  {served.job_role}",
            *(f"# role:     {role.arn}" for role in world.roles if role.arn != served.job_role),
            *(f"# bucket:   {_describe_bucket(bucket)}" for bucket in world.buckets),
            *(f"# secret:   {each.title}, account {each.owner}" for each in world.secrets),
            *(f"# parameter: {each.name}, account {each.account}" for each in world.parameters),
            *(f"# profile:  {name}, a role's alias in the spec" for name in profiles),
            *(f"# try:      {command}" for command in _list_examples(profiles)),
        ]
    )


def _describe_bucket(bucket: SandboxBucket) -> str:
    count = format_count(len(bucket.objects), "object")
    return f"{bucket.name}, account {bucket.account}, {count}"


def _list_examples(profiles: Sequence[str]) -> list[str]:
    """Returns a command of the AWS command line and one of boto3, which anyone may run."""
    option = f" --profile {profiles[0]}" if profiles else ""
    session = f"profile_name='{profiles[0]}'" if profiles else ""
    code = (
        f"import boto3; print(boto3.Session({session}).client('sts').get_caller_identity()['Arn'])"
    )
    return [f"aws sts get-caller-identity{option}", f'python -c "{code}"']


def _render_json(served: RunningSandbox, world: World, profiles: Sequence[str]) -> str:
    document: Mapping[str, Any] = {
        "spec": served.spec,
        "file": served.file or None,
        "endpoint": served.endpoint,
        "region": served.region,
        "pid": served.pid,
        "environment": _list_variables(served),
        "job_role": served.job_role,
        "roles": [role.arn for role in world.roles],
        "profiles": list(profiles),
        "buckets": [
            {"name": each.name, "account": each.account, "objects": len(each.objects)}
            for each in world.buckets
        ],
        "secrets": [{"name": each.title, "account": each.owner} for each in world.secrets],
        "parameters": [{"name": each.name, "account": each.account} for each in world.parameters],
    }
    return json.dumps(document, indent=2)
