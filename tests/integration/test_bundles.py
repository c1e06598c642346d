"""Each bundle, installed without an index as its runtime installs it, runs the main job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rolerunner import sandbox
from rolerunner.glue.launch.runtime import RUNTIMES, Runtime
from tests.conftest import CONFIGS
from tests.functional.test_glue_entry import ACCOUNT, drop_job_params, running_sandbox
from tests.unit.glue.launch.test_arguments import PYTHON_SHELL, SPARK

__all__ = ["running_sandbox"]
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def python(version: str) -> str:
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    there = str(found[-1]) if found else shutil.which(f"python{version}")
    if there is None:
        pytest.skip(f"there is no Python {version} here")
    return there


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


def install_bundle(bundle: Path, runtime: Runtime, interpreter: str, folder: Path) -> Path:
    """The runtime's environment, with what the bundle brings."""
    run_command(interpreter, "-m", "venv", folder)
    there = folder / "bin/python"
    run_command(there, *PIP, f"boto3=={runtime.boto3}")
    manifest = json.loads((bundle / "manifest.json").read_text())
    modules = [bundle / each for each in manifest["modules"]]
    if runtime.zip_of_wheels:
        zipfile.ZipFile(modules[0]).extractall(folder / "zip")
        run_command(
            there,
            *PIP,
            "--no-index",
            "--find-links",
            folder / "zip/wheels",
            "-r",
            folder / "zip/wheels/requirements.txt",
        )
    elif runtime.is_spark:
        run_command(there, *PIP, "--no-index", *modules)
    else:  # one after the other: the order is such that each finds what it needs
        for each in [*modules, *(bundle / code for code in manifest["code"])]:
            run_command(there, *PIP, "--no-index", each)
    assert (
        run_command(there, "-c", "import boto3; print(boto3.__version__)").strip() == runtime.boto3
    )
    return there


def run_main_job(
    bundle: Path, runtime: Runtime, there: Path, world: sandbox.Sandbox, folder: Path
) -> dict[str, Any]:
    """The main job, its spec from S3, in a process like the runtime's; the last line of its log."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    key = f"{runtime.name}/{manifest['spec']}"
    world.client("s3", ACCOUNT).put_object(
        Bucket="job-specs", Key=key, Body=(bundle / manifest["spec"]).read_bytes()
    )
    scripts = folder / "glue-python-scripts-ab12"
    scripts.mkdir()
    script = shutil.copy(bundle / manifest["script"], scripts)
    own = drop_job_params(SPARK if runtime.is_spark else PYTHON_SHELL)
    keys = world.job_keys
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "AWS_REGION": world.region,
        "AWS_ENDPOINT_URL": world.endpoint,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        **(
            {
                "GLUE_COMMAND_CRITERIA": "glueetl",
                "PYTHONPATH": os.pathsep.join(str(bundle / code) for code in manifest["code"]),
            }
            if runtime.is_spark
            else {}
        ),
    }
    arguments = [
        "--job_spec",
        f"s3://job-specs/{key}",
        "--workdir",
        f"{folder}/work/",
        "--result",
        f"s3://job-specs/{runtime.name}/result.json",
    ]
    lines = run_command(there, script, *own, *arguments, env=environment, cwd=folder).splitlines()
    return dict(json.loads(lines[0]), **json.loads(lines[-1]))


@pytest.mark.slow
def test_the_main_job_runs_from_each_bundle(
    running_sandbox: sandbox.Sandbox, tmp_path: Path
) -> None:
    interpreters = {name: python(runtime.python) for name, runtime in RUNTIMES.items()}

    def one(runtime: Runtime) -> tuple[str, str, str]:
        folder = tmp_path / runtime.name
        folder.mkdir()
        bundle = folder / "bundle"
        run_command(
            sys.executable,
            "-m",
            "rolerunner",
            "bundle",
            CONFIGS / "partner_exchange.yaml",
            "--runtime",
            runtime.name,
            "-o",
            bundle,
        )
        there = install_bundle(bundle, runtime, interpreters[runtime.name], folder / "venv")
        last = run_main_job(bundle, runtime, there, running_sandbox, folder)
        return runtime.name, last["runtime"], last["status"]

    with ThreadPoolExecutor(3) as pool:
        completed = list(pool.map(one, RUNTIMES.values()))
    assert completed == [(name, runtime.command, "succeeded") for name, runtime in RUNTIMES.items()]


@pytest.mark.slow
def test_what_functions_need_is_resolved_for_the_runtimes_own_python(tmp_path: Path) -> None:
    from rolerunner.glue.bundle.archives import make_wheel

    name, data = make_wheel(
        "orders",
        "1.0",
        {"orders/__init__.py": b""},
        "Metadata-Version: 2.1\nName: orders\nVersion: 1.0\nRequires-Dist: tomli>=2\n",
    )
    (tmp_path / name).write_bytes(data)
    spec = (
        "version: 1\nname: nightly\nglue: {{requirements: ['importlib-metadata==8.5.0', {more}]}}\n"
        "steps: [{{id: a, action: python.call, function: 'orders:clean'}}]\n"
    )
    (tmp_path / "job.yaml").write_text(spec.format(more=f"./{name}"))
    run_command(
        sys.executable,
        "-m",
        "rolerunner",
        "bundle",
        tmp_path / "job.yaml",
        "--runtime",
        "pythonshell",
        "-o",
        tmp_path / "shell",
    )
    order = [
        Path(each).name.split("-")[0]
        for each in json.loads((tmp_path / "shell/manifest.json").read_text())["modules"]
    ]
    assert {"importlib_metadata", "zipp", "orders", "tomli", "pydantic", "rolerunner"} <= set(order)
    assert "boto3" not in order
    assert order.index("zipp") < order.index("importlib_metadata")
    assert order.index("tomli") < order.index("orders")

    (tmp_path / "job.yaml").write_text(spec.format(more="'docopt==0.6.2'"))  # has no wheel
    command = [
        sys.executable,
        "-m",
        "rolerunner",
        "bundle",
        tmp_path / "job.yaml",
        "-o",
        tmp_path / "none",
    ]
    completed = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 2
    assert "no wheels for Python 3.9 on manylinux2014_x86_64: " in completed.stderr
    assert "docopt" in completed.stderr
    assert not (tmp_path / "none").exists()
