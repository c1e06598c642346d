"""``rolerunner schema``: the same text on standard output and in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rolerunner.cli.schema import render_schema, schema


@pytest.mark.parametrize(("flags", "for_tests"), [([], False), (["--test"], True)])
def test_the_schema_is_printed_or_written(
    tmp_path: Path, flags: list[str], for_tests: bool
) -> None:
    printed = CliRunner().invoke(schema, flags, catch_exceptions=False)
    assert printed.output == render_schema(for_tests=for_tests) + "\n"
    path = tmp_path / "made" / "schema.json"
    written = CliRunner().invoke(schema, [*flags, "-o", str(path)], catch_exceptions=False)
    assert written.output == ""
    assert path.read_text() == printed.output


def test_test_files_have_a_schema_of_their_own() -> None:
    specs, tests = (json.loads(render_schema(for_tests=each)) for each in (False, True))
    assert "steps" in specs["properties"]
    assert "cases" in tests["properties"]
    assert tests["title"] == "A rolerunner test file"
