"""Implements ``rolerunner graph``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import (
    ENV,
    PARAM,
    PARAMS_FILE,
    SETTINGS,
    SPEC,
    echo,
    read_params,
    warn_of_secrets,
    write_file,
)
from rolerunner.errors import UsageError
from rolerunner.plan.graph import render_mermaid, render_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMAT_BY_SUFFIX = {
    ".svg": "svg",
    "": "mermaid",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".md": "mermaid",
    ".txt": "mermaid",
}
"""Maps a file's suffix to the picture's format."""


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["mermaid", "svg"]),
    help="mermaid (text) or svg; defaults to the suffix of FILE.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write to this file instead of standard output."
)
def graph(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    picture_format: Optional[str],
    output: Optional[str],
) -> None:
    """Draw the steps of a spec, their dependencies and their roles.

    \b
    rolerunner graph nightly.yaml
    rolerunner graph nightly.yaml -o nightly.svg
    """
    picture_format = picture_format or _infer_format(output)
    job = api.load(spec, read_params(params, params_file), env=env)
    warn_of_secrets(job, params)
    job_plan = api.plan(job)
    text = render_svg(job_plan) if picture_format == "svg" else render_mermaid(job_plan)
    if output is None:
        echo(text, nl=False)
    else:
        write_file(Path(output), text)


def _infer_format(output: Optional[str]) -> str:
    """Returns the format for the file's suffix. Raises UsageError for an unknown suffix."""
    ending = Path(output or "").suffix.lower()
    if ending not in _FORMAT_BY_SUFFIX:
        raise UsageError(
            f"-o {output}: unknown picture format '{ending}': "
            "use .svg, or .mmd for Mermaid text, or set --format"
        )
    return _FORMAT_BY_SUFFIX[ending]
