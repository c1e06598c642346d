"""Bundles without the network: the same bytes each time, what is shipped and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rolerunner
from rolerunner import api
from rolerunner.errors import UsageError
from rolerunner.glue.bundle import archives, builder, wheels
from rolerunner.glue.bundle.wheels import FetchedWheels
from rolerunner.glue.launch.runtime import RUNTIMES, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHELL, GLUE_4, SPARK = (RUNTIMES[name] for name in ("pythonshell", "glue-4.0", "glue-5.1"))
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
    monkeypatch.setattr(wheels, "fetch_wheels", lambda *_: FetchedWheels((tmp_path / name,)))


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


CODE = {"cleaning/orders.py", "cleaning/sql/all.sql", "queries/__init__.py"}


@pytest.mark.parametrize(("runtime", "tag"), [(SHELL, "cp39"), (GLUE_4, "cp310")])
def test_python_shell_and_glue_4_get_one_wheel(
    runtime: Runtime, tag: str, no_network: None, project: Path, tmp_path: Path
) -> None:
    built = builder.build_bundle(api.load(project), runtime, tmp_path / "made")
    version = rolerunner.__version__
    wheel = f"wheels/rolerunner_bundle-{version}-{tag}-{tag}-manylinux2014_x86_64.whl"
    assert built.modules == (wheel,)
    assert {"needed.py", "rolerunner/__init__.py", *CODE} <= names(built.folder / wheel)
    assert built.arguments("s3://b/p/", runtime) == {
        "--job_spec": "s3://b/p/spec/nightly.yaml",
        **(
            {
                "--additional-python-modules": f"s3://b/p/{wheel}",
                "--python-modules-installer-option": "--no-index",
            }
            if runtime.is_spark
            else {"library-set": "analytics", "--extra-py-files": f"s3://b/p/{wheel}"}
        ),
    }


def test_newer_spark_gets_a_zip_of_wheels_with_the_users_code(
    no_network: None, project: Path, tmp_path: Path
) -> None:
    spark = builder.build_bundle(api.load(project), SPARK, tmp_path / "spark")
    with zipfile.ZipFile(spark.folder / "wheels.gluewheels.zip") as opened:
        found = {name: opened.read(name) for name in opened.namelist()}
    version = rolerunner.__version__
    assert found.pop("wheels/requirements.txt").decode().splitlines() == [
        "needed==1.0",
        f"rolerunner=={version}",
        "nightly-code==0",
    ]
    code = found.pop("wheels/nightly_code-0-py3-none-any.whl")
    assert found.keys() == {
        "wheels/needed-1.0-py3-none-any.whl",
        f"wheels/rolerunner-{version}-py3-none-any.whl",
    }
    with zipfile.ZipFile(BytesIO(code)) as opened:
        assert {name for name in opened.namelist() if "dist-info" not in name} == CODE
    assert spark.arguments("s3://b/p/", SPARK) == {
        "--job_spec": "s3://b/p/spec/nightly.yaml",
        "--additional-python-modules": "s3://b/p/wheels.gluewheels.zip",
        "--python-modules-installer-option": "--no-index",
    }
    assert (spark.folder / "spec/shared/roles.yaml").is_file()
    assert api.load(spark.folder / spark.spec, complete=False).roles


def test_the_manifest_lists_files_packages_and_what_the_runtime_provides(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        archives.make_wheel("typing_extensions", "4.16.0", {"typing_extensions.py": b""}),
        archives.make_wheel("needed", "1.0", {"needed.py": b"x"}),
    ]
    for name, data in files:
        (tmp_path / name).write_bytes(data)
    ours, theirs = (tmp_path / name for name, _ in files)
    fetched = FetchedWheels((ours,), (theirs,), {"pandas": "1.4.2"})
    monkeypatch.setattr(wheels, "fetch_wheels", lambda *_: fetched)
    built = builder.build_bundle(api.load(project), SHELL, tmp_path / "made")
    manifest = json.loads((built.folder / "manifest.json").read_text())
    assert manifest["hash"] == built.hash
    for name, listed in manifest["files"].items():
        data = (built.folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (listed["sha256"], listed["bytes"])
    assert manifest["provided"] == {"pandas": "1.4.2"}
    assert [
        (each["name"], each["version"], each["source"], each["replaces"])
        for each in manifest["packages"]
    ] == [
        ("typing-extensions", "4.16.0", "rolerunner", "4.2.0"),
        ("rolerunner", rolerunner.__version__, "rolerunner", ""),
        ("needed", "1.0", "requirements", ""),
        ("queries", "", "code", ""),
        ("cleaning", "", "code", ""),
    ]
    parts = r"rolerunner \d\.\d MB, requirements 0\.0 MB, code 0\.0 MB"
    assert re.fullmatch(rf"4 files, \d\.\d MB \(installed: {parts}\)", built.describe_size())


def test_extras_that_the_spec_needs_are_required_beside_its_requirements(
    no_network: None, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    required: list[str] = []

    def fetch_wheels(_: Runtime, requirements: Sequence[str], __: Path) -> FetchedWheels:
        required.extend(requirements)
        return FetchedWheels(())

    monkeypatch.setattr(wheels, "fetch_wheels", fetch_wheels)
    section = "glue: {requirements: [pandas]}\ntelemetry: {metrics: {emf: true}}\n"
    project.write_text(SPEC.replace("glue: {packages: [../queries]}\n", section))
    told: list[str] = []
    builder.build_bundle(api.load(project), SHELL, tmp_path / "made", told.append)
    assert required == ["aws-embedded-metrics>=3.2", "pandas"]
    assert "extra 'metrics', needed by telemetry.metrics: aws-embedded-metrics>=3.2" in told


def test_code_that_would_change_another_package_is_refused(
    no_network: None, project: Path, tmp_path: Path
) -> None:
    added = project.parent / "rolerunner/extra.py"
    added.parent.mkdir()
    added.write_text("")
    project.write_text(SPEC.replace("[../queries]", "[rolerunner]"))
    with pytest.raises(UsageError, match="both contain 'rolerunner'"):
        builder.build_bundle(api.load(project), SPARK, tmp_path / "made")


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
