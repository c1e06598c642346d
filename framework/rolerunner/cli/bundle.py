"""Implements ``rolerunner bundle``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import ENV, SETTINGS, SPEC, echo
from rolerunner.glue.launch.runtime import RUNTIMES

if TYPE_CHECKING:
    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.model import Job


@click.command(context_settings=SETTINGS)
@SPEC
@ENV
@click.option(
    "--runtime",
    type=click.Choice([*RUNTIMES]),
    help="Glue runtime to build for; defaults to that of the spec's glue section.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    help="Output folder; defaults to dist/NAME-RUNTIME, with --env dist/NAME.ENV-RUNTIME.",
)
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Print what would be installed where, and write nothing.",
)
def bundle(
    spec: str, env: str, runtime: Optional[str], folder: Optional[str], only_check: bool
) -> None:
    """Build everything that a Glue job needs to start without internet access.

    The bundle holds wheels, your packages, the spec and the entry script.

    \b
    rolerunner bundle nightly.yaml --runtime pythonshell
    rolerunner bundle nightly.yaml --runtime glue-5.1 -o build/nightly
    rolerunner bundle nightly.yaml --check

    Builds are reproducible, and manifest.json lists every file with its hash.
    `rolerunner deploy` builds the bundle itself.
    """
    from rolerunner.glue.bundle import builder as building  # noqa: PLC0415 - only this command needs it

    job = api.load(spec, complete=False, env=env)
    name = runtime or (job.glue.runtime if job.glue is not None else "pythonshell")
    if only_check:
        _check_bundle(job, RUNTIMES[name])
        return
    target = Path(folder or f"dist/{job.full_name}-{name}").absolute()
    built = building.build_bundle(job, RUNTIMES[name], target, _print_progress)
    echo(f"{target}: {built.describe_size()}, hash {built.hash}")


def _check_bundle(job: Job, runtime: Runtime) -> None:
    from rolerunner.glue.bundle import builder as building  # noqa: PLC0415
    from rolerunner.glue.bundle.check import render_check  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="rolerunner-bundle-") as temporary:
        built = building.build_bundle(job, runtime, Path(temporary) / "bundle", _print_progress)
        echo(render_check(built, runtime))


def _print_progress(line: str) -> None:
    echo(line, err=True)
