"""What the commands share: the SPEC argument and -p, params as text, mistakes with their line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.errors import Problem

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
SPEC = click.argument("spec", metavar="SPEC")
PARAM = click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A param of the spec; once for each.")


def read_params(params: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` as a mapping. Raises UsageError."""
    read: dict[str, str] = {}
    for each in params:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"-p takes NAME=VALUE, not '{each}'")
        if name in read:
            raise UsageError(f"the param '{name}' is given twice")
        read[name] = value
    return read


def with_line(problem: Problem) -> str:
    """A mistake with its line of text and a caret below the place."""
    if not problem.line.strip():
        return str(problem)
    indent = "".join("\t" if character == "\t" else " " for character in problem.line[: problem.mark.column - 1])
    return f"{problem}\n    {problem.line}\n    {indent}^"
