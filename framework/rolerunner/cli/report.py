"""Implements ``rolerunner report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import click

from rolerunner.cli.common import SETTINGS, echo
from rolerunner.common.files import write_file
from rolerunner.errors import UsageError
from rolerunner.observers.report import render_page

_MAX_BYTES = 1 << 28


@click.command(context_settings=SETTINGS)
@click.argument("result", metavar="RESULT.json")
@click.option("-o", "--output", metavar="FILE", help="Output file; defaults to RESULT.html.")
def report(result: str, output: Optional[str]) -> None:
    """Render a result file as one self-contained HTML page: errors, a timeline by role, bytes.

    \b
    rolerunner run nightly.yaml --result out.json
    rolerunner report out.json -o out.html

    `rolerunner run SPEC --report FILE` writes the same page at the end of a run.
    """
    target = Path(output) if output else Path(result).with_suffix(".html")
    try:
        page = render_page(_read_result(Path(result)))
    except UsageError as error:
        raise UsageError(f"{result}: {error}") from None
    write_file(target, page.encode(), private=True)
    echo(str(target))


def _read_result(path: Path) -> Any:
    """Reads the result file. Raises UsageError."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"larger than {_MAX_BYTES >> 20} MiB, which no result file is")
        read = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise UsageError(
            "it is not JSON; `rolerunner run SPEC --result FILE.json` writes a result file"
        ) from None
    if not isinstance(read, dict):
        raise UsageError("it is not a result file, which is a JSON object")
    return read
