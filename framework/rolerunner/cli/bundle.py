"""rolerunner bundle"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from rolerunner import api
from rolerunner.cli.common import SETTINGS, SPEC, echo
from rolerunner.common.wording import format_count


@click.command(context_settings=SETTINGS)
@SPEC
@click.option(
    "--runtime", type=click.Choice(["pythonshell", "glue-4.0", "glue-5.0", "glue-5.1", "glue-6.0"]),
    help="The runtime to build for; that of the spec's glue section by default.",
)  # fmt: skip
@click.option(
    "-o", "--output", "folder", metavar="DIR", help="Where to; dist/NAME-RUNTIME by default."
)
def bundle(spec: str, runtime: Optional[str], folder: Optional[str]) -> None:
    """Build all that a Glue job needs with no internet: wheels, your packages, the spec, the entry script.

    \b
    rolerunner bundle nightly.yaml --runtime pythonshell
    rolerunner bundle nightly.yaml --runtime glue-5.1 -o build/nightly

    The same input gives the same bytes; manifest.json lists every file with its hash. `rolerunner deploy` does this itself.
    """
    from rolerunner.glue.bundle import builder as building  # noqa: PLC0415 - other commands have no use for it
    from rolerunner.glue.launch.runtime import RUNTIMES  # noqa: PLC0415

    job = api.load(spec, complete=False)
    name = runtime or (job.glue.runtime if job.glue is not None else "pythonshell")
    target = Path(folder or f"dist/{job.name}-{name}").absolute()
    made = building.build_bundle(job, RUNTIMES[name], target, lambda line: echo(line, err=True))
    size = sum((made.folder / each).stat().st_size for each in made.files)
    echo(
        f"{target}: {format_count(len(made.files), 'file')}, {size / 1e6:.1f} MB, hash {made.hash}"
    )
