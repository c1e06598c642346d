"""rolerunner schema"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import click

from rolerunner import api
from rolerunner.cli.common import SETTINGS


@click.command(context_settings=SETTINGS)
@click.option("-o", "--output", metavar="FILE", help="Write it there instead of printing it.")
def schema(output: Optional[str]) -> None:
    """Print the JSON Schema of specs, for editors.

    \b
    rolerunner schema -o rolerunner.schema.json
    then, as the first line of a spec:
    # yaml-language-server: $schema=rolerunner.schema.json
    """
    text = json.dumps(api.schema(), indent=1, ensure_ascii=False)
    if output is None:
        click.echo(text)
    else:
        api.write_file(Path(output), (text + "\n").encode())
