"""Missing modules and functions of ``python.call`` are found without importing user code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = """\
version: 1
name: t
{more}
steps:
  - {{id: early, action: python.call, function: "work.early:touch",
      arguments: {{path: "{folder}/touched"}}}}
  - {{id: late, action: python.call, function: "{function}"}}
"""
CODE = "raise_on_import = 1 / 0\n\ndef clean(context):\n    return {}\n"
EARLY = "from pathlib import Path\n\ndef touch(context, path):\n    Path(path).touch()\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A spec's folder with a package whose module must not be run to be looked at."""
    package = tmp_path / "work"
    (package / "deep").mkdir(parents=True)
    (package / "orders.py").write_text(CODE)
    (package / "early.py").write_text(EARLY)
    (package / "deep" / "inner.py").write_text(CODE)
    (package / "lazy.py").write_text("def __getattr__(name):\n    raise AttributeError(name)\n")
    return tmp_path


def write(project: Path, function: str, more: str = "") -> Path:
    path = project / "spec.yaml"
    path.write_text(SPEC.format(function=function, folder=project, more=more))
    return path


def list_problems(project: Path, function: str, more: str = "") -> list[str]:
    try:
        api.load(write(project, function, more), code_is_here=True)
    except SpecError as error:
        assert all(problem.mark.line == 7 + more.count("\n") for problem in error.problems)
        return [problem.message for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("work.ordrs:clean", "there is no module 'work.ordrs' (did you mean 'work.orders'?)"),
        ("wrok.orders:clean", "there is no module 'wrok' (did you mean 'work'?)"),
        (
            "work.orders.more:clean",
            "there is no module 'work.orders.more': 'work.orders' is not a package",
        ),
        (
            "work.deep.iner:clean",
            "there is no module 'work.deep.iner' (did you mean 'work.deep.inner'?)",
        ),
        (
            "nowhere_at_all:clean",
            "there is no module 'nowhere_at_all' (it is searched beside the spec",
        ),
        ("work.orders:clan", "has no function 'clan' (did you mean 'clean'?)"),
        ("work:clean", "work has no function 'clean'"),
        ("os.path.joint:x", "there is no module 'os.path': 'os' is not a package"),
        ("json.dump:x", "there is no module 'json.dump'"),
        ("work/orders.py:clan", "has no function 'clan'"),
        ("work/ordrs.py:clean", "there is no file work/ordrs.py beside the spec"),
    ],
)
def test_a_module_or_function_that_is_not_there_is_a_mistake(
    function: str, message: str, project: Path
) -> None:
    (said,) = list_problems(project, function)
    assert message in said


@pytest.mark.parametrize(
    "function",
    [
        "work.orders:clean",
        "work.deep.inner:clean",
        "work/orders.py:clean",
        "work.lazy:anything",
        "math:sqrt",
        "sys:exit",
        "os.path:join",
        "json:dumps",
        "pydantic:BaseModel",
    ],
)
def test_what_can_be_imported_is_none(function: str, project: Path) -> None:
    assert [
        said
        for said in list_problems(project, function)
        if "no module" in said or "no function" in said
    ] == []


def test_zips_and_folders_on_the_path_are_looked_into(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(project / "bundle.zip", "w") as bundle:
        bundle.writestr("zipped/__init__.py", "")
        bundle.writestr("zipped/job.py", CODE)
    (project / "lib").mkdir()
    (project / "lib" / "beside.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(project / "bundle.zip"), str(project / "lib")])
    assert (
        list_problems(project, "zipped.job:clean") == list_problems(project, "beside:clean") == []
    )
    assert "has no function 'clan'" in list_problems(project, "zipped.job:clan")[0]
    assert "has no function 'clan'" in list_problems(project, "beside:clan")[0]


def test_what_the_job_takes_along_to_glue_may_be_elsewhere(project: Path) -> None:
    (project / "shared" / "cleaning").mkdir(parents=True)
    (project / "shared" / "cleaning" / "__init__.py").write_text(CODE)
    assert list_problems(project, "cleaning:clean")
    assert list_problems(project, "cleaning:clean", "glue: {packages: [shared/cleaning]}") == []
    assert (
        list_problems(project, "elsewhere.job:clean", "glue: {requirements: [elsewhere==1.0]}")
        == []
    )


@pytest.mark.parametrize("command", [("validate",), ("run",)])
def test_nothing_runs_and_nothing_is_imported(
    command: tuple[str, ...],
    project: Path,
    rolerunner: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    completed = rolerunner(*command, write(project, "work.ordrs:clean"))
    assert completed.returncode == 2
    assert f"{project}/spec.yaml:7:" in completed.stdout + completed.stderr
    assert "there is no module 'work.ordrs'" in completed.stdout + completed.stderr
    assert not (project / "touched").exists()
    assert (
        rolerunner("validate", write(project, "work.orders:clean")).returncode == 0
    )  # whose import would divide by zero


@pytest.mark.parametrize("command", [("plan",), ("iam",), ("graph",), ("audit",)])
def test_a_spec_without_its_code_can_be_looked_at(
    command: tuple[str, ...],
    project: Path,
    rolerunner: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert rolerunner(*command, write(project, "nowhere_at_all:clean")).returncode == 0
