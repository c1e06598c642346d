"""rolerunner validate"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolerunner import api
from rolerunner.cli.common import PARAM, SETTINGS, read_params, with_line
from rolerunner.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.errors import Problem


@click.command(context_settings=SETTINGS)
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@PARAM
def validate(specs: Sequence[str], params: Sequence[str]) -> None:
    """Check specs without touching AWS, and say every mistake.

    \b
    rolerunner validate nightly.yaml
    rolerunner validate configs/*.yaml
    """
    problems = [problem for spec in specs for problem in _problems(spec, read_params(params))]
    for problem in problems:
        click.echo(with_line(problem), err=True)
    if problems:
        raise SystemExit(SpecError.exit_status)
    click.echo(f"{len(specs)} spec{'s' if len(specs) > 1 else ''} checked, no mistakes")


def _problems(spec: str, params: dict[str, str]) -> Sequence[Problem]:
    try:
        api.load(spec, params, complete=False)
    except SpecError as error:
        return error.problems
    return ()
