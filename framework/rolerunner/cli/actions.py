"""Implements ``rolerunner actions``."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from rolerunner.actions import reference, registry
from rolerunner.cli.common import SETTINGS
from rolerunner.common.files import write_file


@click.command(context_settings=SETTINGS)
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Write index.md and a Markdown page per action to this folder.",
)
def actions(name: Optional[str], output: Optional[str]) -> None:
    """Print the reference of all actions, including those of installed plugins.

    \b
    rolerunner actions
    rolerunner actions s3.copy
    rolerunner actions -o docs/actions
    """
    if output is None:
        page = reference.page(name, registry()) if name else reference.index(registry())
        click.echo(page, nl=False)
        return
    folder = Path(output)
    write_file(folder / "index.md", reference.index(registry()).encode())
    for each in [name] if name else registry():
        write_file(folder / f"{each}.md", reference.page(each, registry()).encode())
