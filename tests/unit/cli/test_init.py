"""``rolerunner init``: the files of a new project, and folders that have some already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rolerunner.cli.init import init
from rolerunner.cli.schema import render_schema
from rolerunner.errors import UsageError


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_project_has_the_template_and_both_schemas(tmp_path: Path) -> None:
    folder = tmp_path / "a job"
    done = CliRunner().invoke(init, [str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    found = files_below(folder)
    assert {"job.yaml", "job.test.yaml", "jobs/count.py", "tests/test_job.py"} <= set(found)
    assert not any(name.endswith(".pyc") for name in found)
    for name, for_tests in (("rolerunner", False), ("rolerunner-test", True)):
        text = (folder / f"{name}.schema.json").read_text()
        assert text == render_schema(for_tests=for_tests) + "\n"
        assert json.loads(text)["title"]
    lines = done.output.splitlines()
    assert sorted(lines[:-3]) == sorted(str(folder / name) for name in found)
    assert lines[-3:] == [
        "",
        f"Now: rolerunner run '{folder}/job.yaml' --sandbox",
        f"and: rolerunner test '{folder}'",
    ]


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (["job.yaml"], "job.yaml already exists; nothing was written"),
        (["job.yaml", "jobs/count.py"], "job.yaml, jobs/count.py already exist; nothing was"),
    ],
)
def test_no_file_is_replaced(tmp_path: Path, there: list[str], message: str) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(init, [str(tmp_path)], catch_exceptions=False)
    assert files_below(tmp_path) == there
    assert {(tmp_path / name).read_text() for name in there} == {"mine"}
