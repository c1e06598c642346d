"""Glue's Job around a run: opened only if a step needs it, committed only after success.

A small fake stands for awsglue, which only Glue has.
"""

from __future__ import annotations

import json
import logging
import sys
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.launch import spark_job
from rolerunner.glue.launch.arguments import parse_arguments
from rolerunner.model import Job, RunResult, RunStatus, Step
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN = Step("a", "s3.copy", {"source": "s3://a/b/"})
SPREAD = Step("b", "s3.copy", {"source": "s3://a/b/", "distribute": "spark"})
SQL = Step("c", "spark.sql", {})
BOOKMARKS = [
    "--JOB_NAME",
    "orders",
    "--JOB_RUN_ID",
    "jr_1",
    "--job-bookmark-option",
    "job-bookmark-enable",
    "--TempDir",
    "s3://t/",
]
OFF = ["--JOB_NAME", "orders", "--job-bookmark-option", "job-bookmark-disable"]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of awsglue, in order."""
    told: list[Any] = []

    class GlueContext:
        def __init__(self, context: str) -> None:
            told.append(("context", context))

    class GlueJob:
        def __init__(self, context: GlueContext) -> None:
            assert isinstance(context, GlueContext)

        def init(self, name: str, arguments: dict[str, str]) -> None:
            told.append(("init", name, arguments))

        def commit(self) -> None:
            told.append("commit")

    package, context, job = (
        types.ModuleType(f"awsglue{name}") for name in ("", ".context", ".job")
    )
    context.GlueContext, job.Job = GlueContext, GlueJob  # type: ignore[attr-defined]
    for module in (package, context, job):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        spark_job, "get_session", lambda: types.SimpleNamespace(sparkContext="the context")
    )
    return told


def ended(status: RunStatus) -> RunResult:
    return RunResult("id", "job", status, "", 0.0, (), ())


def run(
    steps: list[Step],
    arguments: list[str],
    said: list[Any],
    *,
    status: RunStatus = "succeeded",
    runtime: str = "glueetl",
) -> RunResult:
    def work() -> RunResult:
        said.append("work")
        return ended(status)

    return spark_job.run_in_glue_job(
        Job("job", tuple(steps)), parse_arguments(arguments).glue, runtime, work
    )


def test_bookmarks_are_begun_before_and_committed_after(said: list[Any]) -> None:
    assert run([PLAIN], BOOKMARKS, said).status == "succeeded"
    assert [each if isinstance(each, str) else each[0] for each in said] == [
        "context",
        "init",
        "work",
        "commit",
    ]
    assert said[:2] == [
        ("context", "the context"),
        (
            "init",
            "orders",
            {
                "JOB_NAME": "orders",
                "JOB_RUN_ID": "jr_1",
                "job_bookmark_option": "job-bookmark-enable",
                "TempDir": "s3://t/",
            },
        ),
    ]


AUTO = replace(SPREAD, fields={**SPREAD.fields, "distribute": "auto"})


@pytest.mark.parametrize("step", [SPREAD, AUTO, SQL], ids=["distribute", "auto", "spark.sql"])
def test_a_spark_step_has_its_job_without_bookmarks(step: Step, said: list[Any]) -> None:
    run([PLAIN, step], OFF, said, status="warning")
    assert [said[1][2]["job_bookmark_option"], *said[-2:]] == [
        "job-bookmark-disable",
        "work",
        "commit",
    ]


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_what_did_not_go_well_is_not_committed(status: RunStatus, said: list[Any]) -> None:
    assert run([PLAIN], BOOKMARKS, said, status=status).status == status
    assert said[-1] == "work"


def test_what_raises_is_not_committed(said: list[Any]) -> None:
    def work() -> RunResult:
        raise UsageError("no")

    with pytest.raises(UsageError):
        spark_job.run_in_glue_job(Job("job", (SPREAD,)), {}, "glueetl", work)
    assert said[-1][0] == "init"


@pytest.mark.parametrize(
    ("arguments", "runtime"), [(OFF, "glueetl"), (BOOKMARKS, "pythonshell"), (BOOKMARKS, "local")]
)
def test_nothing_is_opened_where_nothing_needs_it(
    arguments: list[str], runtime: str, said: list[Any]
) -> None:
    run([PLAIN], arguments, said, runtime=runtime)
    assert said == ["work"]


def test_without_awsglue_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("awsglue", "awsglue.context"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UsageError, match=r"not a Spark job of Glue.*install rolerunner\[glue-local\]"
    ):
        run([SPREAD], OFF, [])


def test_an_error_of_another_kind_is_raised_unchanged(
    said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise TypeError("another mistake")

    monkeypatch.setattr(sys.modules["awsglue.context"], "GlueContext", fail)
    with pytest.raises(TypeError, match="another mistake"):
        run([SPREAD], OFF, said)


KEPT = """
import json, pathlib
from awsglue_of_checkout.utils import getResolvedOptions as resolve

def getResolvedOptions(args, options):
    found = resolve(args, options)
    pathlib.Path(__file__).with_name("kept.json").write_text(json.dumps(found))
"""


@pytest.fixture
def awsglue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``awsglue`` whose ``utils`` module a test writes."""
    (tmp_path / "awsglue").mkdir()
    (tmp_path / "awsglue/__init__.py").touch()
    (tmp_path / "awsglue_of_checkout").mkdir()
    (tmp_path / "awsglue_of_checkout/__init__.py").touch()
    source = ROOT / "stubs/awsglue-local-stubs/src/awsglue/utils.py"
    (tmp_path / "awsglue_of_checkout/utils.py").write_text(source.read_text())
    for name in [each for each in sys.modules if each.startswith("awsglue")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "awsglue/utils.py"
    for name in [each for each in sys.modules if each.startswith("awsglue")]:
        del sys.modules[name]


def test_transforms_find_the_temporary_folder(awsglue: Path) -> None:
    awsglue.write_text(KEPT)
    spark_job.resolve_options(
        {
            "JOB_NAME": "nightly",
            "JOB_RUN_ID": "jr_1",
            "TempDir": "s3://b/tmp/",
            "enable-metrics": "",
            "python-modules-installer-option": "--no-index",
            "library-set": "analytics",
        }
    )
    kept = json.loads(awsglue.with_name("kept.json").read_text())
    assert (kept["TempDir"], kept["JOB_NAME"], kept["JOB_RUN_ID"]) == (
        "s3://b/tmp/",
        "nightly",
        "jr_1",
    )


def test_a_python_shell_job_has_no_name(awsglue: Path) -> None:
    awsglue.write_text(KEPT)
    spark_job.resolve_options({"TempDir": "s3://b/tmp/"})
    assert json.loads(awsglue.with_name("kept.json").read_text())["TempDir"] == "s3://b/tmp/"


@pytest.mark.parametrize("raised", ["SystemExit(2)", "RuntimeError('broken')", "KeyError('x')"])
def test_an_awsglue_that_refuses_the_arguments_fails_no_run(
    awsglue: Path, raised: str, caplog: pytest.LogCaptureFixture
) -> None:
    awsglue.write_text(f"def getResolvedOptions(args, options):\n    raise {raised}\n")
    with caplog.at_level(logging.WARNING, "rolerunner"):
        spark_job.resolve_options({"TempDir": "s3://b/tmp/"})
    assert "awsglue did not take the job's arguments: " + raised.partition("(")[0] in caplog.text


def test_an_incomplete_awsglue_is_no_warning(
    awsglue: Path, caplog: pytest.LogCaptureFixture
) -> None:
    awsglue.write_text("import pyspark_that_is_not_there\n")
    with caplog.at_level(logging.DEBUG, "rolerunner"):
        spark_job.resolve_options({})
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
