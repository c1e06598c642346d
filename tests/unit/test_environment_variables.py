"""The manual lists every environment variable that the code reads, once."""

from __future__ import annotations

import re
from pathlib import Path

from rolerunner import errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "framework" / "rolerunner"
READ = re.compile(
    r"os\.environ(?:\.get\(|\[)\s*\"([A-Z][A-Z0-9_]+)\""
    r"|\"([A-Z][A-Z0-9_]+)\" (?:not )?in os\.environ"
)
PAGE = (ROOT / "docs" / "commands.md").read_text()
SECTION = PAGE.partition("## Environment variables\n")[2].partition("\n<!--")[0]


def list_variables() -> set[str]:
    texts = [path.read_text() for path in PACKAGE.rglob("*.py")]
    return {next(filter(None, names)) for text in texts for names in READ.findall(text)}


def test_each_variable_that_the_code_reads_is_listed_once() -> None:
    variables = list_variables()
    assert len(variables) > 15
    listed = re.findall(r"`([A-Z][A-Z0-9_]+)", SECTION)
    assert sorted(variables - set(listed)) == []
    assert [name for name in listed if listed.count(name) > 1] == []


def test_each_exit_status_of_an_error_is_listed() -> None:
    statuses = {
        value.exit_status
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.RolerunnerError)
    }
    rows = set(re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE))
    assert statuses == {1, 2, 3, 4}
    assert {str(each) for each in statuses} <= rows
