"""The local awsglue beside AWS's own packages, on a real Spark, and under the entry script."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.integration.test_bundles import PIP, python, run_command
from tests.spark_venv import python_with_spark

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUBS = ROOT / "stubs/awsglue-local-stubs"
SOURCE = STUBS / "src"
VERSIONS = [("5.1.0", "3.11"), ("6.0.0", "3.13")]
"""AWS's packages and the Python that each one wants."""

# AWS's package imports pyspark and py4j, which have hundreds of megabytes; its signatures need none
# of their code
PLACEHOLDERS = """
import sys, types
from importlib.machinery import ModuleSpec

class Placeholder(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, type(name, (), {}))
        return getattr(self, name)

class Finder:
    def find_spec(self, name, path=None, target=None):
        is_stub = name.split(".")[0] in ("pyspark", "py4j")
        return ModuleSpec(name, self, is_package=True) if is_stub else None
    def create_module(self, spec):
        made = Placeholder(spec.name)
        made.__path__ = []
        return made
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
"""
SIGNATURES = f"""{PLACEHOLDERS}
import importlib, inspect, json

def parameters(function):
    return [(each.name, each.kind.name, None if each.default is each.empty else repr(each.default))
            for each in inspect.signature(function).parameters.values()]

found = {{}}
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for key, value in vars(module).items():
        if getattr(value, "__module__", None) != name or key.startswith("_"):
            continue
        if inspect.isfunction(value):
            found[f"{{name}}.{{key}}"] = parameters(value)
        elif inspect.isclass(value):
            found[f"{{name}}.{{key}}"] = []
            for inner, method in vars(value).items():
                method = getattr(method, "__func__", method)
                is_public = not inner.startswith("_") or inner in ("__init__", "__call__")
                if inspect.isfunction(method) and is_public:
                    found[f"{{name}}.{{key}}.{{inner}}"] = parameters(method)
print(json.dumps(found))
"""
OPTIONS = f"""{PLACEHOLDERS}
import json
from awsglue.utils import getResolvedOptions

def resolve(arguments, names):
    try:
        return getResolvedOptions(["script.py", *arguments], names)
    except Exception:
        return "error"

print(json.dumps([resolve(*case) for case in json.load(sys.stdin)]))
"""
ONLY_HERE = {
    # in Glue methods of Spark's SQLContext, from which its GlueContext is derived
    "awsglue.context.GlueContext.sql",
    "awsglue.context.GlueContext.table",
    "awsglue.context.GlueContext.createDataFrame",
    # in Glue a Java object
    "awsglue.context.GlueLogger",
    "awsglue.context.GlueLogger.debug",
    "awsglue.context.GlueLogger.info",
    "awsglue.context.GlueLogger.warn",
    "awsglue.context.GlueLogger.error",
    # in Glue a method of each transform alone
    "awsglue.transforms.transform.GlueTransform.__call__",
}
CASES = [
    [[], []],
    [["--JOB_NAME", "j", "--a", "1"], ["JOB_NAME", "a"]],
    [["--a", "1"], ["b"]],
    [["--a=1", "stray", "--other", "x"], ["a"]],
    [["--a", "1", "--a", "2"], ["a"]],
    [["--a", ""], ["a"]],
    [["--a"], ["a"]],
    [["--a", "-x"], ["a"]],
    [["--a", "--b c"], ["a"]],
    [["--a", "%s"], ["a"]],
    [["--run-date", "x"], ["run-date"]],
    [["--run-date", "x"], ["run_date"]],
    [["--TempDir", "x"], ["TempDir"]],
    [["--RedshiftTempDir", "x"], []],
    [["--JOB_RUN_ID", "jr", "--JOB_ID", "j_1", "--SECURITY_CONFIGURATION", "c"], []],
    [["--JOB_RUN_ID", "jr"], ["JOB_RUN_ID"]],
    [["--encryption-type", "sse-s3", "--enable-data-lineage", "true"], []],
    [["--job-bookmark-option", "job-bookmark-enable"], []],
    [["--job-bookmark-option", "no"], []],
    [["--job-bookmark-option", "job-bookmark-enable"], ["job-bookmark-option"]],
    [["--job-bookmark-option", "job-bookmark-enable"], ["job_bookmark_option"]],
    [["--job-bookmark-from", "a", "--job-bookmark-to", "b"], []],
    [["--job-bookmark-option", "job-bookmark-pause", "--job-bookmark-from", "a"], []],
    [
        [
            *("--job-bookmark-option", "job-bookmark-pause"),
            *("--job-bookmark-from", "a", "--job-bookmark-to", "b"),
        ],
        [],
    ],
]
ENTRY = """
import sys
from rolerunner.glue.entry import main
try:
    main(["run_spec.py", *sys.argv[1:]])
finally:
    try:
        from awsglue.local import job_events
    except ImportError:
        pass
    else:
        for event in job_events():
            print("EVENT", event.call, event.job_name, sorted(event.args))
"""


def modules() -> list[str]:
    """The modules of the local awsglue that Glue has too."""
    paths = (path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    names = (".".join(path.with_suffix("").parts) for path in paths)
    return sorted(
        name.removesuffix(".__init__")
        for name in names
        if "._" not in name.removesuffix(".__init__") and name != "awsglue.local"
    )


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda each: str(each[0]))
def theirs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """An interpreter, and a folder with AWS's package for it."""
    version, interpreter = request.param
    folder = tmp_path_factory.mktemp("theirs")
    there = python(interpreter)
    run_command(there, *PIP, "--no-deps", "--target", folder, f"awsgluedataplanepython=={version}")
    return there, folder


def ask(interpreter: str, folder: Path, script: str, *arguments: str, text: str = "") -> Any:
    """Returns what a script prints with the awsglue of a folder."""
    ended = subprocess.run(
        [interpreter, "-c", script, *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_signatures_are_those_of_aws(theirs: tuple[str, Path]) -> None:
    interpreter, folder = theirs
    ours = ask(interpreter, SOURCE, SIGNATURES, *modules())
    aws = ask(interpreter, folder, SIGNATURES, *modules())
    if interpreter.count("3.11"):  # its package has no such parameter yet
        assert ours["awsglue.utils.getResolvedOptions"].pop()[0] == "allow_abbrev"
    assert {name for name in ours if name not in aws} == ONLY_HERE
    assert len(ours) > 100
    for name in ours.keys() - ONLY_HERE:
        assert ours[name] == aws[name], name


def test_options_are_resolved_as_by_aws(theirs: tuple[str, Path]) -> None:
    interpreter, folder = theirs
    text = json.dumps(CASES)
    ours = ask(interpreter, SOURCE, OPTIONS, text=text)
    aws = ask(interpreter, folder, OPTIONS, text=text)
    assert dict(enumerate(ours)) == dict(enumerate(aws))
    assert ours.count("error") == 10


@pytest.fixture(scope="module")
def spark() -> Path:
    found = python_with_spark()
    if found is None:
        pytest.skip("there is no Python 3.11 or no Java here")
    return found


def test_frames_work_on_spark(spark: Path) -> None:
    ended = subprocess.run(
        [spark, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=STUBS,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert "skipped" not in ended.stdout


@pytest.fixture
def daily(tmp_path: Path) -> Path:
    """A folder with the manual's example and its input."""
    page = (ROOT / "docs/glue-local.md").read_text()
    (tmp_path / "daily.py").write_text(
        re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0]
    )
    (tmp_path / "daily.yaml").write_text(
        re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0]
    )
    (tmp_path / "orders").mkdir()
    lines = ('{"id": 1, "amount": 2.5}', '{"id": 2, "amount": null}', '{"id": 3, "amount": 4.0}')
    (tmp_path / "orders/a.json").write_text("\n".join(lines))
    return tmp_path


def run_entry(spark: Path, folder: Path, awsglue: Path, *more: str) -> tuple[int, str]:
    ended = subprocess.run(
        [
            *(spark, "-c", ENTRY, "--job_spec", "daily.yaml", "--JOB_NAME", "daily"),
            *("--source", str(folder / "orders"), "--target", str(folder / "out")),
            *("--result", str(folder / "result.json")),
            *more,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(awsglue), "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    return ended.returncode, ended.stdout + ended.stderr


WITH_BOOKMARKS = ("--runtime", "glueetl", "--job-bookmark-option", "job-bookmark-enable")


def test_the_entry_script_runs_on_it(spark: Path, daily: Path) -> None:
    status, log = run_entry(spark, daily, SOURCE, *WITH_BOOKMARKS)
    assert status == 0, log
    assert list((daily / "out").glob("*.parquet"))
    events = [line for line in log.splitlines() if line.startswith("EVENT")]
    assert events == [
        "EVENT init daily ['JOB_NAME', 'job_bookmark_option']",
        "EVENT commit daily []",
    ]
    (step,) = json.loads((daily / "result.json").read_text())["steps"]
    assert step["outputs"] == {"orders": 3, "paid": 2}


def test_a_failed_run_is_not_committed(spark: Path, daily: Path) -> None:
    (daily / "orders/a.json").unlink()
    (daily / "orders").rmdir()
    status, log = run_entry(spark, daily, SOURCE, *WITH_BOOKMARKS)
    assert status == 1
    assert "EVENT init" in log
    assert "EVENT commit" not in log
    assert "LocalGlueError" in log


@pytest.fixture(scope="module")
def aws_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's package for the Python of the Spark."""
    folder = tmp_path_factory.mktemp("aws")
    package = "awsgluedataplanepython==5.1.0"
    run_command(python("3.11"), *PIP, "--no-deps", "--target", folder, package)
    return folder


def test_what_awss_package_lacks_is_a_sentence(spark: Path, daily: Path, aws_package: Path) -> None:
    status, log = run_entry(spark, daily, aws_package, *WITH_BOOKMARKS)
    assert status == 1
    assert (
        "this is not a Spark job of Glue: 'JavaPackage' object is not callable: this awsglue is "
        "AWS's own package, whose Java classes exist in Glue alone; uninstall it and install "
        "rolerunner[glue-local] to run Glue code on your own machine, or use --runtime local"
    ) in log
    assert "internal error" not in log


def test_a_function_that_uses_awss_package_is_told(
    spark: Path, daily: Path, aws_package: Path
) -> None:
    status, log = run_entry(spark, daily, aws_package, "--runtime", "local")
    assert status == 1
    assert "raised TypeError: 'JavaPackage' object is not callable" in log
    assert "uninstall it and install rolerunner[glue-local]" in log


def test_a_function_without_awsglue_is_told(spark: Path, daily: Path) -> None:
    status, log = run_entry(spark, daily, daily, "--runtime", "local")
    assert status == 1
    assert "No module named 'awsglue'" in log
    assert "awsglue is part of Glue; install rolerunner[glue-local]" in log


def test_the_manuals_function_type_checks(spark: Path, daily: Path) -> None:
    environment = {**os.environ, "MYPYPATH": f"{SOURCE}:{ROOT / 'framework'}"}
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"),
        *("--python-executable", str(spark), "daily.py"),
    ]
    run_command(*command, cwd=daily, env=environment)
    text = (daily / "daily.py").read_text().replace("frame=paid,", "frames=paid,")
    (daily / "daily.py").write_text(text)
    ended = subprocess.run(
        command, cwd=daily, env=environment, capture_output=True, text=True, check=False
    )
    assert 'Unexpected keyword argument "frames" for "apply"' in ended.stdout


def test_two_packages_of_one_name_are_noticed(tmp_path: Path) -> None:
    shutil.copytree(STUBS, tmp_path / "stubs", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    run_command(python("3.11"), "-m", "venv", tmp_path / "venv")
    there = tmp_path / "venv/bin/python"
    for name in ("awsgluedataplanepython==5.1.0", tmp_path / "stubs"):
        run_command(there, *PIP, "--no-deps", name)
    ended = subprocess.run(
        [there, "-c", "import awsglue"], capture_output=True, text=True, check=False
    )
    assert re.search(
        r"ImportError: AWSGlueDataplanePython and awsglue-local-stubs have both installed the "
        r"package 'awsglue' in .*: uninstall both, then install one of them",
        ended.stderr,
    ), ended.stderr
