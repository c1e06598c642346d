"""Implements ``rolerunner validate``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import (
    ENV,
    PARAM,
    PARAMS_FILE,
    SETTINGS,
    echo,
    expand_glob,
    format_problem,
    read_params,
    warn_of_missing_extras,
)
from rolerunner.common.wording import format_count
from rolerunner.errors import SpecError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.errors import Problem
    from rolerunner.model import Job


@click.command(context_settings=SETTINGS)
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="json: a list of mistakes; github: annotations in a pull request.",
)
def validate(
    specs: Sequence[str],
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    output_format: str,
) -> bool:
    """Check specs without contacting AWS, and report every mistake.

    Globs skip sandbox and test files. Without --env, a spec is checked under each of its
    environments as well.

    \b
    rolerunner validate nightly.yaml
    rolerunner validate nightly.yaml --env prod
    rolerunner validate 'configs/**/*.yaml'
    rolerunner validate configs/*.yaml --format github
    """
    for spec in specs:
        _check_file_name(spec)
    paths = [path for spec in specs for path in expand_glob(spec)]
    given = read_params(params, params_file)
    jobs: list[Job] = []
    problems = [
        problem
        for path in paths
        for problem in api.find_problems(
            path, given, env=env, code_is_here=not path.startswith("s3://"), on_job=jobs.append
        )
    ]
    _print_problems(problems, output_format)
    if problems:
        raise SystemExit(SpecError.exit_status)
    if output_format == "text":
        warn_of_missing_extras(jobs)
        echo(f"{format_count(len(paths), 'spec')} checked, no mistakes")
    return True


def _check_file_name(spec: str) -> None:
    """Raises UsageError if the name is that of a sandbox or test file."""
    for ending, command in (
        (".sandbox.yaml", "rolerunner run SPEC --sandbox"),
        (".test.yaml", f"rolerunner test {spec}"),
    ):
        if spec.endswith(ending):
            raise UsageError(f"{spec}: is not a spec; '{command}' checks it")


def _print_problems(problems: Sequence[Problem], output_format: str) -> None:
    if output_format == "json":
        echo(json.dumps([_to_json(problem) for problem in problems], indent=2, ensure_ascii=False))
    for problem in problems if output_format != "json" else ():
        text = (
            _format_annotation(problem)
            if output_format == "github"
            else format_problem(problem, colour=sys.stderr.isatty())
        )
        echo(text, err=output_format == "text")


def _to_json(problem: Problem) -> dict[str, object]:
    mark = problem.mark
    return {
        "file": mark.file,
        "line": mark.line,
        "column": mark.column,
        "message": problem.message,
        "hint": problem.hint,
    }


def _format_annotation(problem: Problem) -> str:
    """Returns a workflow command of GitHub Actions, escaped as it requires."""
    message = problem.message + (f" ({problem.hint})" if problem.hint else "")
    file = _escape_text(problem.mark.file).replace(":", "%3A").replace(",", "%2C")
    place = f"file={file},line={problem.mark.line},col={problem.mark.column}"
    return f"::error {place}::{_escape_text(message)}"


def _escape_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
