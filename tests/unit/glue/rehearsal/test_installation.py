"""Wheels are installed by a real pip that reaches no index, as each runtime installs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rolerunner.glue.bundle.archives import make_wheel, make_zip
from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.environment import Environment
from rolerunner.glue.rehearsal.installation import Installation, install_bundle

pytestmark = pytest.mark.once
HERE = Environment(Path(sys.executable).parents[1])
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
PLACE = "s3://artifacts/nightly/"


def write_wheel(folder: Path, name: str, *requirements: str) -> Path:
    metadata = METADATA.format(name=name)
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requirements)
    file, data = make_wheel(name, "1.0", {f"{name}/__init__.py": b""}, metadata)
    (folder / file).write_bytes(data)
    return folder / file


def install(runtime: str, arguments: dict[str, str], folder: Path) -> Installation:
    files = {f"{PLACE}{path.name}": path for path in folder.iterdir()}
    named = {
        name: ",".join(f"{PLACE}{each}" for each in value.split(",")) if "." in value else value
        for name, value in arguments.items()
    }
    work = folder / "work"
    work.mkdir()
    return install_bundle(RUNTIMES[runtime], named, files, HERE, work)


def test_python_shell_installs_each_wheel_by_itself(tmp_path: Path) -> None:
    first = write_wheel(tmp_path, "first_of_test")
    second = write_wheel(tmp_path, "second_of_test", "first_of_test")
    done = install("pythonshell", {"--extra-py-files": f"{first.name},{second.name}"}, tmp_path)
    assert done.failure == (
        "1 of 2 wheels cannot be installed; the first is second_of_test-1.0-py3-none-any.whl: "
        "No matching distribution found for first_of_test"
    )
    assert done.folder is not None
    assert (done.folder / "first_of_test/__init__.py").exists()
    assert not (done.folder / "second_of_test").exists()


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_spark_job_installs_all_wheels_together_and_imports_archives(
    is_zip: bool, tmp_path: Path
) -> None:
    wheels = [
        write_wheel(tmp_path, "first_of_test", "pip"),  # the runtime's own
        write_wheel(tmp_path, "second_of_test", "first_of_test"),
    ]
    (tmp_path / "code.zip").write_bytes(make_zip({"code_of_test.py": b""}))
    members = {f"wheels/{path.name}": path.read_bytes() for path in wheels}
    listed = {"wheels/requirements.txt": b"first_of_test==1.0\nsecond_of_test==1.0\n"}
    (tmp_path / "w.gluewheels.zip").write_bytes(make_zip({**members, **listed}))
    arguments = {
        "--additional-python-modules": "w.gluewheels.zip"
        if is_zip
        else ",".join(path.name for path in wheels),
        "--python-modules-installer-option": "--no-index",
        "--extra-py-files": "code.zip",
    }
    done = install("glue-5.1" if is_zip else "glue-4.0", arguments, tmp_path)
    assert done.failure == ""
    assert (done.code, done.folder) == ((tmp_path / "code.zip",), None)
    both = "import first_of_test, second_of_test, boto3; print(first_of_test.__file__)"
    found = subprocess.run(
        [done.environment.python, "-c", both], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(tmp_path / "work/environment"))
    assert not (HERE.packages / "first_of_test").exists()


def test_a_job_without_wheels_has_nothing_to_install(tmp_path: Path) -> None:
    done = install("glue-5.1", {"--extra-py-files": "s3://elsewhere/other.zip"}, tmp_path)
    assert (done.failure, done.code) == ("", ())
