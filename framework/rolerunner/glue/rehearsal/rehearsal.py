"""Rehearses a job: builds its bundle, installs it as Glue does, and starts it in the sandbox."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner import sandbox
from rolerunner.glue.bundle.builder import SCRIPT, build_bundle
from rolerunner.glue.deploy.sandbox_world import add_bundle, complete_settings
from rolerunner.glue.deploy.settings import artifact_prefix, define_job, job_name, resolve_settings
from rolerunner.glue.launch.invocation import list_arguments, merge_arguments
from rolerunner.glue.launch.spark_job import is_needed
from rolerunner.glue.rehearsal.cluster import find_release, has_tables, prepare_cluster
from rolerunner.glue.rehearsal.environment import Environment, provide_environment
from rolerunner.glue.rehearsal.installation import Installation, install_bundle
from rolerunner.glue.rehearsal.launch import Launch, launch_script
from rolerunner.glue.rehearsal.package_lists import list_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.glue.bundle.builder import Bundle
    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.model import GlueSettings, Job


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
    settings = complete_settings(
        resolve_settings(job, {"runtime": runtime.name}), stage.world.job_role, stage.world.region
    )
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
            world = add_bundle(stage.world, files, settings, place)
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


def _list_job_arguments(
    job: Job, settings: GlueSettings, bundle: Bundle, place: str, params: Mapping[str, str]
) -> dict[str, str]:
    """Returns the arguments of a run: the job's, those of the run, and those that are fixed."""
    defined = define_job(job, settings, bundle, place, settings.region).job
    run = {f"--{name}": value for name, value in params.items()}
    return merge_arguments(defined["DefaultArguments"], run, defined["NonOverridableArguments"])


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
