"""Implements ``rolerunner schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import click

from rolerunner.actions import registry
from rolerunner.cli.common import SETTINGS
from rolerunner.common.files import write_file
from rolerunner.spec.json_schema import build_model_schema, build_schema


@click.command(context_settings=SETTINGS)
@click.option(
    "-o", "--output", metavar="FILE", help="Write to this file instead of standard output."
)
@click.option("--test", "for_tests", is_flag=True, help="Print the schema of test files instead.")
def schema(output: Optional[str], for_tests: bool) -> None:
    """Print the JSON Schema of specs, or of test files, for editors.

    \b
    rolerunner schema -o rolerunner.schema.json
    Then add this first line to a spec:
    # yaml-language-server: $schema=rolerunner.schema.json
    rolerunner schema --test -o rolerunner-test.schema.json
    """
    text = render_schema(for_tests=for_tests)
    if output is None:
        click.echo(text)
    else:
        write_file(Path(output), (text + "\n").encode())


def render_schema(*, for_tests: bool) -> str:
    """Returns the schema as JSON text."""
    return json.dumps(
        _build_test_file_schema() if for_tests else build_schema(registry()),
        indent=1,
        ensure_ascii=False,
    )


def _build_test_file_schema() -> dict[str, Any]:
    from rolerunner.spec_testing.casefile import CaseFile  # noqa: PLC0415 - specs need nothing of the sandbox

    return build_model_schema(CaseFile, "A rolerunner test file")
