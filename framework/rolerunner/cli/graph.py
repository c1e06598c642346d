"""rolerunner graph"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import PARAM, PARAMS_FILE, SETTINGS, SPEC, echo, read_params, warn_of_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@click.option("--format", "form", type=click.Choice(["mermaid", "svg"]), help="mermaid, or svg; by default what FILE's name says.")
@click.option("-o", "--output", metavar="FILE", help="Write it there instead of printing it.")
def graph(spec: str, params: Sequence[str], params_file: Optional[str], form: Optional[str], output: Optional[str]) -> None:
    """Draw the steps of a spec: what waits for what, and under which role.

    \b
    rolerunner graph nightly.yaml
    rolerunner graph nightly.yaml -o nightly.svg
    """
    job = api.load(spec, read_params(params, params_file))
    warn_of_secrets(job, params)
    plan = api.plan(job)
    form = form or ("svg" if output and output.endswith(".svg") else "mermaid")
    text = api.picture(plan, form)
    if output is None:
        echo(text, nl=False)
    else:
        api.write_file(Path(output), text.encode())
