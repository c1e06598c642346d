"""Options, output and formatting shared by the commands."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner.common.wording import escape_controls
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rolerunner.errors import Problem
    from rolerunner.model import Job

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
COMPLETE_VARIABLE = "_ROLERUNNER_COMPLETE"
"""The variable by which a shell asks for completions."""
FAILED_STEP = 4
"""Exit status of a failed run."""
SPEC = click.argument("spec", metavar="SPEC")
PARAM = click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a param; repeat for more. NAME=@FILE reads the value from a file, which suits "
    "secrets; NAME=@@TEXT is a text that begins with @.",
)


PARAMS_FILE = click.option(
    "--params",
    "params_file",
    metavar="FILE",
    help="YAML or JSON file with params as NAME: VALUE; -p takes precedence.",
)

ENV = click.option(
    "--env",
    default="",
    metavar="NAME",
    help="Use the values of this environment of the spec.",
)


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Prints a text with secrets redacted; all commands print through it."""
    from rolerunner.redaction.redact import redact_text  # noqa: PLC0415 - `rolerunner --help` prints nothing of a spec

    click.echo(redact_text(text), nl=nl, err=err, color=None if _allows_color() else False)


def _allows_color() -> bool:
    """Returns False if the environment asks for plain text (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_file(path: Path, text: str) -> None:
    """Writes a text to a file atomically, with secrets redacted. Raises LocalFileFailed."""
    from rolerunner.common import files  # noqa: PLC0415
    from rolerunner.redaction.redact import redact_text  # noqa: PLC0415

    files.write_file(path, redact_text(text).encode())


def read_params(params: Sequence[str], file: Optional[str] = None) -> dict[str, object]:
    """Returns the params of ``-p NAME=VALUE`` and of the file. Raises UsageError, SpecError."""
    read: dict[str, object] = {}
    for number, each in enumerate(params, 1):
        name, separator, value = each.partition("=")
        if not separator or not name:  # its text is not shown: it may be a secret
            raise UsageError(f"-p takes NAME=VALUE; number {number} of them has no '=' or no name")
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
            f"{error} (-p NAME=@FILE reads a value from a file; "
            "write @@ for a text that begins with @)"
        ) from None


def format_spec(job: Job) -> str:
    """Returns how a command names the job's spec and environment."""
    return f"{job.file} --env {job.environment}" if job.environment else job.file


def warn_of_secrets(job: Job, params: Sequence[str]) -> None:
    """Warns about secret params whose values are on the command line."""
    on_command_line = {
        name
        for name, _, value in (each.partition("=") for each in params)
        if not value.startswith("@") or value.startswith("@@")
    }
    for name in sorted(job.secret_params & on_command_line):
        hint = f"use --params FILE or -p {name}=@FILE"
        echo(
            f"rolerunner: warning: the param '{name}' is secret, "
            f"and other users of this machine can read command lines; {hint}",
            err=True,
        )


def warn_of_missing_extras(jobs: Iterable[Job]) -> None:
    """Warns about packages that steps need and that this machine does not have."""
    from rolerunner.actions import registry  # noqa: PLC0415 - few commands need it
    from rolerunner.actions.extras import (  # noqa: PLC0415 - few commands need it
        describe_missing,
        find_missing_extras,
    )

    found = (missing for job in jobs for missing in find_missing_extras(job, registry()))
    for text in dict.fromkeys(map(describe_missing, found)):
        echo(f"rolerunner: warning: {text}", err=True)


def expand_glob(spec: str) -> Iterator[str]:
    """Expands a glob that the shell did not; skips sandbox and test files.

    Raises UsageError if nothing matches.
    """
    many = glob.has_magic(spec) and not Path(spec).exists()
    found = sorted(glob.glob(spec, recursive=True)) if many else [spec]  # noqa: PTH207 - patterns may be absolute
    if not found:
        raise UsageError(f"{spec}: no file matches")
    yield from (
        path for path in found if not many or not path.endswith((".sandbox.yaml", ".test.yaml"))
    )


def format_problem(problem: Problem, *, colour: bool = False) -> str:
    """Returns a mistake with its source line and a caret below the column.

    Control characters of the spec are visible: they would reach the terminal of a reviewer.
    """
    problem = replace(
        problem,
        message=escape_controls(problem.message),
        hint=escape_controls(problem.hint),
        line=escape_controls(problem.line),
    )
    if not problem.line.strip():
        return str(problem)
    indent = "".join(
        "\t" if character == "\t" else " " for character in problem.line[: problem.mark.column - 1]
    )
    if not colour:
        return f"{problem}\n    {problem.line}\n    {indent}^"
    hint = f" ({click.style(problem.hint, fg='cyan')})" if problem.hint else ""
    place = click.style(str(problem.mark), bold=True)
    head = f"{place}: {click.style(problem.message, fg='red')}{hint}"
    return f"{head}\n    {problem.line}\n    {indent}{click.style('^', fg='red', bold=True)}"
