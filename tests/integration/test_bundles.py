"""Bundles with requirements, installed by the pips of the runtimes without an index.

`tests/integration/test_rehearse.py` starts the main job on every runtime.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rolerunner.glue.bundle.archives import make_wheel
from rolerunner.glue.bundle.locked_wheels import read_locks
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.environment import Environment
from rolerunner.glue.rehearsal.installation import install_bundle
from tests.interpreters import create_venv, find_python

PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
SPEC = """
version: 1
name: nightly
glue: {{requirements: [{requirements}]}}
steps: [{{id: a, action: python.call, role: job, function: "cleaning:clean"}}]
"""
ORDERS = "Metadata-Version: 2.1\nName: orders\nVersion: 1.0\nRequires-Dist: tomli>=2\n"
SHOW = """
import importlib.metadata as metadata, sys
sys.path[:0] = sys.argv[1:]
import boto3, cleaning, cryptography.fernet, orders, pydantic_core, tomli, yaml
import rolerunner.glue.entry
(entry,) = metadata.distribution("orders").entry_points
print(cleaning.text, entry.load(), metadata.version("pydantic-core"), boto3.__version__)
"""


def python(version: str) -> str:
    found = find_python(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    return str(found)


def run_command(*command: object, **options: Any) -> str:
    completed: subprocess.CompletedProcess[str] = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        **options,
    )
    assert completed.returncode == 0, (
        f"{command}\n{completed.stdout[-3000:]}{completed.stderr[-3000:]}"
    )
    return completed.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the code of a spec and a wheel that requires another package."""
    name, data = make_wheel(
        "orders",
        "1.0",
        {"orders/__init__.py": b"clean = 'clean'\n"},
        ORDERS,
        "[some.group]\nx = orders:clean\n",
    )
    (tmp_path / name).write_bytes(data)
    (tmp_path / "cleaning").mkdir()
    (tmp_path / "cleaning/all.sql").write_text("select 1")
    (tmp_path / "cleaning/__init__.py").write_text(
        "from pathlib import Path\ntext = Path(__file__).with_name('all.sql').read_text()\n"
        "def clean(context): ...\n"
    )
    # cryptography excludes Python 3.9.0 and 3.9.1
    requirements = f"'./{name}', pandas, 'cryptography==45.0.7'"
    (tmp_path / "job.yaml").write_text(SPEC.format(requirements=requirements))
    return tmp_path


def build_bundle(project: Path, runtime: str) -> tuple[Path, dict[str, Any]]:
    folder = project / runtime
    command = (sys.executable, "-m", "rolerunner", "bundle", project / "job.yaml")
    run_command(*command, "--runtime", runtime, "-o", folder)
    return folder, json.loads((folder / "manifest.json").read_text())


def version_of(tag: str) -> str:
    """Returns the pinned version of pydantic-core, which has compiled parts."""
    return next(pin.version for pin in read_locks(tag) if pin.name == "pydantic-core")


@pytest.mark.slow
def test_the_wheel_of_python_shell_is_installed_by_pips_of_2022_and_2023(
    project: Path, tmp_path: Path
) -> None:
    bundle, manifest = build_bundle(project, "pythonshell")
    sources = {each["name"]: each["source"] for each in manifest["packages"]}
    assert {name for name, source in sources.items() if source == "requirements"} == {
        "cffi",
        "cryptography",
        "orders",
        "pycparser",
        "tomli",
    }
    assert sources["cleaning"] == "code"
    assert manifest["provided"] == {"pandas": "1.4.2"}
    (wheel,) = manifest["modules"]
    for pip in ("22.0.4", "23.0.1"):
        folder = tmp_path / f"pip-{pip}"
        create_venv(folder / "venv", Path(python("3.9")), f"pip=={pip}", "boto3==1.21.21")
        runtime = RUNTIMES["pythonshell"]
        base = Environment(folder / "venv")
        arguments = {"--extra-py-files": f"s3://b/{wheel}"}
        done = install_bundle(runtime, arguments, {f"s3://b/{wheel}": bundle / wheel}, base, folder)
        assert (done.failure, done.folder is not None) == ("", True)
        shown = run_command(base.python, "-c", SHOW, done.folder)
        assert shown == f"select 1 clean {version_of('cp39')} {runtime.boto3}\n"


@pytest.mark.slow
def test_every_machine_of_a_spark_job_gets_the_code_by_its_pip(
    project: Path, tmp_path: Path
) -> None:
    runtime = RUNTIMES["glue-5.1"]
    bundle, manifest = build_bundle(project, runtime.name)
    (modules,) = manifest["modules"]
    packages = (f"boto3=={runtime.boto3}", "pip==23.0.1", "typing-extensions==4.15.0")
    create_venv(tmp_path / "venv", Path(python(runtime.python)), *packages)
    arguments = {
        "--additional-python-modules": f"s3://b/{modules}",
        "--python-modules-installer-option": "--no-index",
    }
    files = {f"s3://b/{modules}": bundle / modules}
    done = install_bundle(runtime, arguments, files, Environment(tmp_path / "venv"), tmp_path)
    assert (done.failure, done.code) == ("", ())
    # an executor is a process of this interpreter, elsewhere
    shown = run_command(done.environment.python, "-c", SHOW, cwd="/")
    assert shown == f"select 1 clean {version_of('cp311')} {runtime.boto3}\n"


@pytest.mark.slow
def test_requirements_that_conflict_with_the_runtime_or_have_no_wheel_are_named(
    project: Path,
) -> None:
    for requirement, message in (
        ("pandas==2.2.3", "conflict with pythonshell, which has pandas 1.4.2: you require pandas"),
        ("pydantic<2", "conflict with rolerunner, which needs pydantic 2."),
        ("requests[socks]", "requests is that of pythonshell, whose extras are not installed"),
        ("docopt==0.6.2", "no wheels for Python 3.9 on manylinux2014_x86_64: "),
    ):
        (project / "job.yaml").write_text(SPEC.format(requirements=f"'{requirement}'"))
        command = [sys.executable, "-m", "rolerunner", "bundle", str(project / "job.yaml")]
        ended = subprocess.run(
            [*command, "-o", str(project / "none")], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 2
        assert message in ended.stderr
        assert not (project / "none").exists()
