"""The table of rehearsals in docs/glue.md is whole, and of the present package lists."""

from __future__ import annotations

import pytest
from manual.rehearsals import HEADINGS, PAGE, TABLE, name_lists

from rolerunner.glue.launch.runtime import RUNTIMES

pytestmark = pytest.mark.once


def test_every_runtime_has_a_row_of_the_present_package_lists() -> None:
    (table,) = TABLE.findall(PAGE.read_text())
    comment, _, _, *rows = table.replace("\n\n", "\n").strip().splitlines()
    assert comment == name_lists(), "run 'make rehearsals'"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    named = [dict(zip(HEADINGS, row)) for row in cells]
    assert [row["runtime"] for row in named] == [f"`{name}`" for name in RUNTIMES]
    for row, runtime in zip(named, RUNTIMES.values()):
        assert (row["Python"], row["boto3"]) == (runtime.python, runtime.boto3)
        assert (row["starts offline"], row["main job"]) == ("yes", "succeeds")
        assert row["roles on Spark"] == ("succeeds" if runtime.is_spark else "has no Spark")
