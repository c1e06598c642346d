"""What the commands share: the SPEC argument and -p, params as text, mistakes with their line."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolerunner.errors import Problem
    from rolerunner.model import Job

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
FAILED_STEP = 4
"""The exit status of a run that failed."""
SPEC = click.argument("spec", metavar="SPEC")
PARAM = click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A param of the spec; once for each. NAME=@FILE takes it from a file, as secrets are best given; NAME=@@TEXT is a text that begins with @.",
)


PARAMS_FILE = click.option(
    "--params",
    "params_file",
    metavar="FILE",
    help="A YAML or JSON file of params, NAME: VALUE; -p wins over it.",
)


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Print a text without secrets: everything that commands print goes through here."""
    from rolerunner.redaction.redact import redact_text  # noqa: PLC0415 - `rolerunner --help` prints nothing of a spec

    click.echo(redact_text(text), nl=nl, err=err)


def write_file(path: Path, text: str) -> None:
    """Write a text without secrets to a file that is there whole or not at all. Raises LocalFileFailed."""
    from rolerunner.common import files  # noqa: PLC0415
    from rolerunner.redaction.redact import redact_text  # noqa: PLC0415

    files.write_file(path, redact_text(text).encode())


def read_params(params: Sequence[str], file: Optional[str] = None) -> dict[str, object]:
    """``NAME=VALUE`` and the params file as a mapping. Raises UsageError, SpecError."""
    read: dict[str, object] = {}
    for each in params:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"-p takes NAME=VALUE, not '{each}'")
        if name in read:
            raise UsageError(f"the param '{name}' is given twice")
        read[name] = _param_value(value)
    if not file:
        return read
    from rolerunner.spec.source import (  # noqa: PLC0415 - `rolerunner --help` needs nothing of it
        read_params_file,
    )

    return {**read_params_file(file), **read}


def _param_value(text: str) -> object:
    if not text.startswith("@") or text.startswith("@@"):
        return text.replace("@@", "@", 1) if text.startswith("@@") else text
    from rolerunner.spec.source import read_param_text  # noqa: PLC0415

    try:
        return read_param_text(text[1:])
    except UsageError as error:
        raise UsageError(
            f"{error} (-p NAME=@FILE takes a value from a file; write @@ for a text that begins with @)"
        ) from None


def warn_of_secrets(job: Job, params: Sequence[str]) -> None:
    """Warn of secret params whose values stand on the command line."""
    on_command_line = {
        name
        for name, _, value in (each.partition("=") for each in params)
        if not value.startswith("@") or value.startswith("@@")
    }
    for name in sorted(job.secret_params & on_command_line):
        hint = f"use --params FILE or -p {name}=@FILE"
        echo(
            f"rolerunner: warning: the param '{name}' is secret, and other users of this machine can read command lines; {hint}",
            err=True,
        )


def expand_glob(spec: str) -> Iterator[str]:
    """The specs of a glob that the shell did not expand; sandbox and test files are left out. Raises UsageError where it finds none."""
    many = glob.has_magic(spec) and not Path(spec).exists()
    found = sorted(glob.glob(spec, recursive=True)) if many else [spec]  # noqa: PTH207 - patterns may be absolute
    if not found:
        raise UsageError(f"{spec}: no file matches")
    yield from (
        path for path in found if not many or not path.endswith((".sandbox.yaml", ".test.yaml"))
    )


def format_problem(problem: Problem, *, colour: bool = False) -> str:
    """A mistake with its line of text and a caret below the place."""
    if not problem.line.strip():
        return str(problem)
    indent = "".join(
        "\t" if character == "\t" else " " for character in problem.line[: problem.mark.column - 1]
    )
    if not colour:
        return f"{problem}\n    {problem.line}\n    {indent}^"
    hint = f" ({click.style(problem.hint, fg='cyan')})" if problem.hint else ""
    head = f"{click.style(str(problem.mark), bold=True)}: {click.style(problem.message, fg='red')}{hint}"
    return f"{head}\n    {problem.line}\n    {indent}{click.style('^', fg='red', bold=True)}"
