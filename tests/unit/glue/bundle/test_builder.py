"""Bundles without the network: the same bytes each time, what is shipped and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rolerunner
from rolerunner import api
from rolerunner.errors import UsageError
from rolerunner.glue.bundle import archives, builder, wheels
from rolerunner.glue.launch.runtime import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Callable

SHELL, SPARK = RUNTIMES["pythonshell"], RUNTIMES["glue-5.1"]
SPEC = """
version: 1
name: nightly
include: [shared/roles.yaml]
glue: {packages: [../queries]}
steps:
  - {id: find, action: s3.list, role: reader, source: s3://landing/}
  - {id: clean, action: python.call, function: "cleaning.orders:clean"}
"""


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, data = archives.make_wheel("needed", "1.0", {"needed.py": b""})
    (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(wheels, "fetch_wheels", lambda *_: [tmp_path / name])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A spec, its package without __init__.py, and files beside."""
    files = {
        "specs/nightly.yaml": SPEC,
        "specs/shared/roles.yaml": "roles: {reader: arn:aws:iam::111122223333:role/reader}\n",
        "specs/cleaning/orders.py": "def clean(context): ...\n",
        "specs/cleaning/sql/all.sql": "select 1",
        "specs/cleaning/__pycache__/orders.pyc": "x", "queries/__init__.py": "",
        "specs/unrelated.txt": "x",
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project/specs/nightly.yaml"


def test_the_same_input_gives_the_same_bytes(
    no_network: None, project: Path, tmp_path: Path
) -> None:
    for runtime in (SHELL, SPARK):
        one = builder.build_bundle(api.load(project), runtime, tmp_path / "one")
        for path in project.parents[1].rglob("*"):
            os.utime(path, (1, 1))
        two = builder.build_bundle(api.load(project), runtime, tmp_path / "two")
        assert one.hash == two.hash
        assert [(one.folder / name).read_bytes() for name in one.files] == [
            (two.folder / name).read_bytes() for name in two.files
        ]
        (project.parent / "cleaning/orders.py").write_text(
            f"def clean(context): ...  # {runtime.name}\n"
        )
        assert builder.build_bundle(api.load(project), runtime, tmp_path / "one").hash != two.hash


def test_python_shell_gets_wheels_and_spark_a_zip_of_wheels_and_one_of_code(
    no_network: None, project: Path, tmp_path: Path
) -> None:
    shell = builder.build_bundle(api.load(project), SHELL, tmp_path / "shell")
    found = shell.arguments("s3://b/p/", SHELL)
    version = rolerunner.__version__
    ours = f"wheels/rolerunner-{version}-py3-none-any.whl"
    assert shell.modules == ("wheels/needed-1.0-py3-none-any.whl", ours)
    assert found == {
        "--job_spec": "s3://b/p/spec/nightly.yaml", "library-set": "analytics",
        "--extra-py-files": f"s3://b/p/wheels/needed-1.0-py3-none-any.whl,s3://b/p/{ours},s3://b/p/wheels/nightly_code-0-py3-none-any.whl",
    }  # fmt: skip
    code = {"cleaning/orders.py", "cleaning/sql/all.sql", "queries/__init__.py"}
    assert {name for name in names(shell.folder / shell.code[0]) if "dist-info" not in name} == code

    spark = builder.build_bundle(api.load(project), SPARK, tmp_path / "spark")
    assert names(spark.folder / "wheels.gluewheels.zip") == {
        "wheels/requirements.txt",
        "wheels/needed-1.0-py3-none-any.whl",
        ours,
    }
    assert names(spark.folder / "code.zip") == {
        *code,
        "cleaning/",
        "cleaning/sql/",
        "queries/",
    }  # folders: zipimport needs them
    assert spark.arguments("s3://b/p/", SPARK) == {
        "--job_spec": "s3://b/p/spec/nightly.yaml",
        "--additional-python-modules": "s3://b/p/wheels.gluewheels.zip",
        "--python-modules-installer-option": "--no-index", "--extra-py-files": "s3://b/p/code.zip",
    }  # fmt: skip
    assert (spark.folder / "spec/shared/roles.yaml").is_file()
    assert api.load(spark.folder / spark.spec, complete=False).roles
    manifest = json.loads((spark.folder / "manifest.json").read_text())
    assert manifest["hash"] == spark.hash
    for name, told in manifest["files"].items():
        assert hashlib.sha256((spark.folder / name).read_bytes()).hexdigest() == told["sha256"]
    out = subprocess.run(
        [sys.executable, "-c", "import cleaning.orders; print(cleaning.orders.__file__)"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(spark.folder / "code.zip")}, cwd=tmp_path,
    )  # fmt: skip
    assert "code.zip" in out.stdout


def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return set(opened.namelist())


@pytest.mark.parametrize(
    ("function", "section", "said"),
    [
        (
            "nowhere.orders:clean",
            "",
            "the module of 'nowhere.orders:clean' (step 'clean') is not beside the spec",
        ),
        ("cleaning/orders.py:clean", "", "cannot be shipped: name a module, as in orders:clean"),
        (
            "cleaning.orders:clean",
            "packages: [absent]",
            "absent, which 'packages' under 'glue' names",
        ),
    ],
)
def test_what_cannot_be_shipped_is_refused_and_nothing_is_written(
    function: str, section: str, said: str, no_network: None, project: Path, tmp_path: Path
) -> None:
    project.write_text(
        SPEC.replace("cleaning.orders:clean", function).replace("packages: [../queries]", section)
    )
    with pytest.raises(UsageError, match=re.escape(said)):
        builder.build_bundle(api.load(project), SHELL, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_folder_that_is_no_bundle_is_left_alone(
    no_network: None, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="exists and is not a bundle"):
        builder.build_bundle(api.load(project), SHELL, project.parent)
    assert project.read_text() == SPEC


def test_actions_of_other_packages_are_asked_for(
    no_network: None, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rolerunner.actions import registry

    theirs = type("Theirs", (), {"__module__": "rolerunner_hello.actions"})
    job = api.load(project)
    monkeypatch.setattr(builder, "registry", lambda: {**registry(), "s3.list": theirs})
    with pytest.raises(
        UsageError,
        match=re.escape(
            "'s3.list' (step 'find') comes with the package rolerunner_hello: name it under "
            "'requirements'"
        ),
    ):
        builder.build_bundle(job, SHELL, tmp_path / "made")


def test_a_place_that_cannot_be_written_is_told(
    no_network: None, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the bundle cannot be built: "):
        builder.build_bundle(api.load(project), SHELL, tmp_path / "file" / "made")


@pytest.mark.once
def test_offline_says_so(
    rolerunner: Callable[..., subprocess.CompletedProcess[str]], project: Path, tmp_path: Path
) -> None:
    offline = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
    }
    ended = rolerunner(
        "bundle",
        project,
        "-o",
        tmp_path / "made",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        **offline,
    )
    assert ended.returncode == 2
    assert "the package index cannot be reached" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "made").exists()
