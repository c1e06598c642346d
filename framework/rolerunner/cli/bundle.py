"""Implements ``rolerunner bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from rolerunner import api
from rolerunner.cli.common import SETTINGS, SPEC, echo


@click.command(context_settings=SETTINGS)
@SPEC
@click.option(
    "--runtime",
    type=click.Choice(["pythonshell", "glue-4.0", "glue-5.0", "glue-5.1", "glue-6.0"]),
    help="Glue runtime to build for; defaults to that of the spec's glue section.",
)
@click.option(
    "-o", "--output", "folder", metavar="DIR", help="Output folder; defaults to dist/NAME-RUNTIME."
)
def bundle(spec: str, runtime: Optional[str], folder: Optional[str]) -> None:
    """Build everything that a Glue job needs to start without internet access.

    The bundle holds wheels, your packages, the spec and the entry script.

    \b
    rolerunner bundle nightly.yaml --runtime pythonshell
    rolerunner bundle nightly.yaml --runtime glue-5.1 -o build/nightly

    Builds are reproducible, and manifest.json lists every file with its hash.
    `rolerunner deploy` builds the bundle itself.
    """
    from rolerunner.glue.bundle import builder as building  # noqa: PLC0415 - only this command needs it
    from rolerunner.glue.launch.runtime import RUNTIMES  # noqa: PLC0415

    job = api.load(spec, complete=False)
    name = runtime or (job.glue.runtime if job.glue is not None else "pythonshell")
    target = Path(folder or f"dist/{job.name}-{name}").absolute()
    built = building.build_bundle(job, RUNTIMES[name], target, lambda line: echo(line, err=True))
    echo(f"{target}: {built.describe_size()}, hash {built.hash}")
