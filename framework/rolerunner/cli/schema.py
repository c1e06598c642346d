"""rolerunner schema"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import click

from rolerunner.actions import registry
from rolerunner.cli.common import SETTINGS
from rolerunner.common.files import write_file
from rolerunner.spec.json_schema import json_schema, json_schema_of


@click.command(context_settings=SETTINGS)
@click.option("-o", "--output", metavar="FILE", help="Write it there instead of printing it.")
@click.option("--test", "of_tests", is_flag=True, help="Of test files instead.")
def schema(output: Optional[str], of_tests: bool) -> None:
    """Print the JSON Schema of specs, or of test files, for editors.

    \b
    rolerunner schema -o rolerunner.schema.json
    then, as the first line of a spec:
    # yaml-language-server: $schema=rolerunner.schema.json
    rolerunner schema --test -o rolerunner-test.schema.json
    """
    text = schema_text(of_tests=of_tests)
    if output is None:
        click.echo(text)
    else:
        write_file(Path(output), (text + "\n").encode())


def schema_text(*, of_tests: bool) -> str:
    """The schema as it is printed."""
    return json.dumps(
        _of_tests() if of_tests else json_schema(registry()), indent=1, ensure_ascii=False
    )


def _of_tests() -> dict[str, Any]:
    from rolerunner.spec_testing.casefile import CaseFile  # noqa: PLC0415 - specs need nothing of the sandbox

    return json_schema_of(CaseFile, "A rolerunner test file")
