"""Runs the sandbox for the duration of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner import api
from rolerunner.cli.common import echo
from rolerunner.errors import UsageError
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import ExitStack

    from rolerunner.model import Job
    from rolerunner.sandbox import World
    from rolerunner.sessions.identity import JobIdentity

DEFAULT_FILE = "beside"
"""Value of ``--sandbox`` without a file."""


def enter_sandbox(
    stack: ExitStack,
    spec: str,
    file: str,
    job: Optional[Job] = None,
    *,
    given: Collection[str] = (),
    puts: Sequence[str] = (),
) -> JobIdentity:
    """Starts the sandbox until the stack closes; returns the identity of the job in it.

    Without a sandbox file, its contents are derived from ``job``. ``given`` holds the
    params of the command line; ``puts`` are additional objects as s3://bucket/key=FILE.
    Raises UsageError, SandboxError.
    """
    from rolerunner import sandbox  # noqa: PLC0415 - starts nothing unless asked for
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415
    from rolerunner.sessions.keys import Keys  # noqa: PLC0415

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
        return _generate_world(job, given, objects), path.parent
    return sandbox.add_objects(sandbox.load_world(_require_file(path)), objects), path.parent


def explain_refusals(spec: str, file: str) -> None:
    """Explains which policies of the sandbox refused a request; no real account needs a change."""
    path = _default_file(spec) if file == DEFAULT_FILE else Path(file)
    place = (
        f"are in {path}"
        if path.exists()
        else "are derived from the spec; declare more under a step's 'permissions'"
    )
    echo(f"rolerunner: the sandbox refused this, not AWS: its policies {place}", err=True)


def _generate_world(job: Job, given: Collection[str], objects: Mapping[S3Uri, Path]) -> World:
    from rolerunner.actions import registry  # noqa: PLC0415
    from rolerunner.policies.least_privilege import drop_run_params  # noqa: PLC0415
    from rolerunner.sandbox.from_spec import generate_world  # noqa: PLC0415

    made_of_it = generate_world(
        api.plan(job), api.plan(drop_run_params(job, given)), registry(), objects
    )
    for note in made_of_it.notes:
        echo(f"sandbox: {note}", err=True)
    return made_of_it.world


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
