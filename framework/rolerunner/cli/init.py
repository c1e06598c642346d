"""Implements ``rolerunner init``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from rolerunner.cli.common import SETTINGS, echo
from rolerunner.cli.schema import render_schema
from rolerunner.common.files import write_file
from rolerunner.errors import UsageError

_TEMPLATE = Path(__file__).parents[1] / "template"
_SCHEMA, _TEST_SCHEMA = "rolerunner.schema.json", "rolerunner-test.schema.json"


@click.command(context_settings=SETTINGS)
@click.argument("folder", metavar="DIR")
def init(folder: str) -> None:
    """Create a project that runs as it is: spec, sandbox, test file, function, CI workflow.

    \b
    rolerunner init my-job
    rolerunner run my-job/job.yaml --sandbox
    """
    target = Path(folder).absolute()
    files = {
        path.relative_to(_TEMPLATE): path.read_bytes()
        for path in sorted(_TEMPLATE.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    for schema, for_tests in ((_SCHEMA, False), (_TEST_SCHEMA, True)):
        files[Path(schema)] = (render_schema(for_tests=for_tests) + "\n").encode()
    there = [str(name) for name in files if (target / name).exists()]
    if there:
        verb = "exists" if len(there) == 1 else "exist"
        raise UsageError(f"{folder}: {', '.join(there)} already {verb}; nothing was written")
    for name, data in files.items():
        write_file(target / name, data)
    echo("\n".join(f"{Path(folder) / name}" for name in files))
    spec = quote(str(Path(folder) / "job.yaml"))
    echo(f"\nNow: rolerunner run {spec} --sandbox\nand: rolerunner test {quote(folder)}")
