"""rolerunner actions"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from rolerunner import api
from rolerunner.cli.common import SETTINGS


@click.command(context_settings=SETTINGS)
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Write a Markdown page for each action there, and index.md.",
)
def actions(name: Optional[str], output: Optional[str]) -> None:
    """The reference of actions, made from their code; those of installed packages too.

    \b
    rolerunner actions
    rolerunner actions s3.copy
    rolerunner actions -o docs/actions
    """
    if output is None:
        click.echo(api.reference(name or ""), nl=False)
        return
    folder = Path(output)
    api.write_file(folder / "index.md", api.reference().encode())
    for each in [name] if name else api.action_names():
        api.write_file(folder / f"{each}.md", api.reference(each).encode())
