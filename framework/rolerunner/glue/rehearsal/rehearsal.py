"""Rehearses a job: builds its bundle, installs it as Glue does, and starts it in the sandbox."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner import sandbox
from rolerunner.glue.bundle.builder import SCRIPT, build_bundle
from rolerunner.glue.deploy.settings import artifact_prefix, define_job, job_name, resolve_settings
from rolerunner.glue.launch.invocation import list_arguments, merge_arguments
from rolerunner.glue.launch.spark_job import is_needed
from rolerunner.glue.rehearsal.cluster import find_release, has_tables, prepare_cluster
from rolerunner.glue.rehearsal.environment import Environment, provide_environment
from rolerunner.glue.rehearsal.installation import Installation, install_bundle
from rolerunner.glue.rehearsal.launch import Launch, launch_script
from rolerunner.glue.rehearsal.package_lists import list_packages
from rolerunner.iam.actions_table import build_object_arn, build_statement
from rolerunner.model import RoleArn, S3Uri
from rolerunner.sandbox.world import SandboxBucket, SandboxObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.glue.bundle.builder import Bundle
    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.model import GlueSettings, Job

_ARTIFACTS = "s3://rolerunner-rehearsal/"
"""Place of the bundle in the sandbox if the spec names none."""


@dataclass(frozen=True)
class Stage:
    """The sandbox of rehearsals: its world, and the folder that its files are relative to."""

    world: sandbox.World
    folder: Path


@dataclass(frozen=True)
class Rehearsal:
    """The outcome of one rehearsal; numbers are None if it did not get that far."""

    runtime: str
    python: str
    packages: str
    """Hash of the runtime's list of packages."""
    starts: bool
    """True if the script read its spec from S3, without an index."""
    succeeded: bool
    """True if Glue would say SUCCEEDED."""
    boto3: str
    boto3_is_provided: bool
    """True if it is the runtime's own."""
    install_seconds: float
    start_seconds: Optional[float]
    run_seconds: Optional[float]
    memory_mb: Optional[float]
    reason: str
    """Why it does not start or fails."""
    error_type: str
    log: tuple[str, ...]


def rehearse_job(
    job: Job,
    runtime: Runtime,
    interpreter: Path,
    stage: Stage,
    params: Mapping[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Rehearses a run with these params. Raises UsageError, SandboxError."""
    settings = _complete_settings(job, runtime, stage.world)
    needs_spark = runtime.is_spark and is_needed(job, _strip_dashes(settings.arguments))
    spark = find_release(runtime) if needs_spark else None
    base = provide_environment(runtime, interpreter, spark.packages if spark else (), tell)
    with tempfile.TemporaryDirectory(prefix="rolerunner-rehearsal-") as name:
        work = Path(name).resolve()
        bundle = build_bundle(job, runtime, work / "bundle", tell)
        place = str(artifact_prefix(job, settings).join(f"{bundle.hash}/"))
        files = {f"{place}{each}": bundle.folder / each for each in bundle.files}
        arguments = _list_job_arguments(job, settings, bundle, place, params)
        installed = install_bundle(runtime, arguments, files, base, work)
        launched = None
        if not installed.failure:
            named = job_name(job, settings)
            argv = list_arguments(runtime, named, f"{place}{SCRIPT}", arguments)
            world = _add_artifacts(stage.world, files, settings, place)
            with sandbox.start_sandbox(world, stage.folder) as running:
                variables = _build_variables(running)
                if spark is not None:
                    s3a = spark if has_tables(job) else None
                    variables.update(
                        prepare_cluster(
                            base,
                            installed.environment,
                            installed.code,
                            work,
                            s3a,
                            settings.region,
                        )
                    )
                script = bundle.folder / SCRIPT
                launched = launch_script(runtime, installed, script, argv, variables, work)
        return _conclude(runtime, base, installed, launched)


def _complete_settings(job: Job, runtime: Runtime, world: sandbox.World) -> GlueSettings:
    """Returns the settings of the spec, with those that only a deployment needs filled in."""
    given = job.glue
    flags = {
        "runtime": runtime.name,
        "role": given.role if given and given.role else world.job_role,
        "region": given.region if given and given.region else world.region,
        "artifacts": "" if given and given.artifacts else _ARTIFACTS,
    }
    return resolve_settings(job, flags)


def _list_job_arguments(
    job: Job, settings: GlueSettings, bundle: Bundle, place: str, params: Mapping[str, str]
) -> dict[str, str]:
    """Returns the arguments of a run: the job's, those of the run, and those that are fixed."""
    defined = define_job(job, settings, bundle, place, settings.region).job
    run = {f"--{name}": value for name, value in params.items()}
    return merge_arguments(defined["DefaultArguments"], run, defined["NonOverridableArguments"])


def _add_artifacts(
    world: sandbox.World, files: Mapping[str, Path], settings: GlueSettings, place: str
) -> sandbox.World:
    """Returns the world with the bundle in it, which the job's role may read."""
    written = [S3Uri.parse(settings.result)] if settings.result else []
    objects = [
        SandboxObject(key=S3Uri.parse(uri).key, file=str(path)) for uri, path in files.items()
    ]
    wanted: dict[str, list[SandboxObject]] = {S3Uri.parse(place).bucket: objects}
    wanted.update({uri.bucket: [] for uri in written if uri.bucket not in wanted})
    buckets = [
        bucket.model_copy(
            update={"objects": [*bucket.objects, *wanted.pop(bucket.name, [])]},
        )
        for bucket in world.buckets
    ]
    account = RoleArn.parse(world.job_role).account
    buckets += [
        SandboxBucket(name=name, account=account, objects=given) for name, given in wanted.items()
    ]
    statements = list(_list_statements(S3Uri.parse(place), written))
    roles = [
        role.model_copy(update={"permissions": [*role.permissions, *statements]})
        if role.arn == world.job_role
        else role
        for role in world.roles
    ]
    return world.model_copy(update={"buckets": buckets, "roles": roles})


def _list_statements(place: S3Uri, written: list[S3Uri]) -> Iterator[dict[str, Any]]:
    """Yields what `rolerunner deploy --permissions` grants the job's role for its own files."""
    yield build_statement(["s3:GetObject"], [build_object_arn(place)])
    if written:
        yield build_statement(["s3:PutObject"], [build_object_arn(uri) for uri in written])


def _strip_dashes(arguments: Mapping[str, str]) -> dict[str, str]:
    return {name.lstrip("-"): value for name, value in arguments.items()}


def _build_variables(running: sandbox.Sandbox) -> dict[str, str]:
    keys = running.job_keys
    return {
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
    }


def _conclude(
    runtime: Runtime, base: Environment, installed: Installation, launched: Optional[Launch]
) -> Rehearsal:
    own = launched is not None and Path(launched.boto3_file).is_relative_to(base.folder)
    return Rehearsal(
        runtime.name,
        runtime.python,
        list_packages(runtime).hash,
        starts=launched is not None and launched.start_seconds is not None,
        succeeded=launched is not None and not launched.error,
        boto3=launched.boto3 if launched else "",
        boto3_is_provided=own,
        install_seconds=installed.seconds,
        start_seconds=launched.start_seconds if launched else None,
        run_seconds=launched.seconds if launched else None,
        memory_mb=launched.memory_mb if launched else None,
        reason=installed.failure or (launched.error if launched else ""),
        error_type=launched.error_type if launched else "",
        log=launched.log if launched else (),
    )
