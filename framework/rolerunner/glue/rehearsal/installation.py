"""Installs a bundle as Glue installs it, by the runtime's own pip and without a package index.

The arguments of the job say what to install, so the deployed job and the rehearsed one agree.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.common.wording import format_count
from rolerunner.glue.rehearsal.environment import Environment, layer_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.launch.runtime import Runtime

NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
}
"""An index that refuses connections, as in a VPC without internet access, but without its delay."""
ZIP_OF_WHEELS = ".gluewheels.zip"
_IMPORTABLE = (".zip", ".egg", ".jar")
"""Files of ``--extra-py-files`` that a Spark job puts on its path."""


@dataclass(frozen=True)
class Installation:
    """An installed bundle: where its packages are, and why pip failed, if it did."""

    environment: Environment
    folder: Optional[Path]
    """Python Shell: the folder that its wheels are installed to."""
    code: tuple[Path, ...]
    """Spark: archives that come first on the path."""
    seconds: float
    failure: str = ""


def install_bundle(
    runtime: Runtime,
    arguments: Mapping[str, str],
    files: Mapping[str, Path],
    base: Environment,
    work: Path,
) -> Installation:
    """Installs what the job's arguments name; ``files`` maps their URIs to local files."""
    began = time.monotonic()
    code = _locate(arguments.get("--extra-py-files", ""), files)
    if not runtime.is_spark:
        target = work / "glue/lib/installation"
        wheels = [path for path in code if path.suffix == ".whl"]
        failure = _install_each(base, wheels, target, work)
        return Installation(base, target, (), time.monotonic() - began, failure)
    layer = layer_environment(base, work / "environment")
    began = time.monotonic()  # Glue has its environment already
    modules = _locate(arguments.get("--additional-python-modules", ""), files)
    option = shlex.split(arguments.get("--python-modules-installer-option", ""))
    failure = _install_modules(layer, modules, option, work)
    importable = tuple(path for path in code if path.suffix in _IMPORTABLE)
    return Installation(layer, None, importable, time.monotonic() - began, failure)


def _locate(value: str, files: Mapping[str, Path]) -> list[Path]:
    """Returns the files of an argument; what is no file of the bundle cannot be rehearsed."""
    uris = [each.strip() for each in value.split(",")]
    return [files[uri] for uri in uris if uri in files]


def _install_each(base: Environment, wheels: Sequence[Path], target: Path, work: Path) -> str:
    """Installs each wheel by a pip of its own, as Python Shell does; returns why some failed."""
    target.mkdir(parents=True)
    option = [f"--target={target}"]
    failures = [
        (wheel.name, reason)
        for wheel in wheels
        if (reason := _run_pip(base, [*option, str(wheel)], work))
    ]
    if not failures:
        return ""
    name, reason = failures[0]
    count = format_count(len(wheels), "wheel")
    return f"{len(failures)} of {count} cannot be installed; the first is {name}: {reason}"


def _install_modules(
    layer: Environment, modules: Sequence[Path], option: Sequence[str], work: Path
) -> str:
    """Installs all wheels by one pip, as Spark jobs do; returns why that failed."""
    if not modules:
        return ""
    if modules[0].name.endswith(ZIP_OF_WHEELS):
        with zipfile.ZipFile(modules[0]) as archive:
            archive.extractall(work / "unpacked")
        wheels = work / "unpacked/wheels"
        given = ["--find-links", str(wheels), "--requirement", str(wheels / "requirements.txt")]
    else:
        given = [str(path) for path in modules]
    return _run_pip(layer, [*option, *given], work)


def _run_pip(environment: Environment, arguments: Sequence[str], work: Path) -> str:
    """Runs pip; returns its first error, or ""."""
    command = [str(environment.python), "-m", "pip", "install", "--quiet", *arguments]
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    ended = subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**kept, "HOME": str(work), "TMPDIR": str(work), **NO_INDEX},
    )
    if ended.returncode == 0:
        return ""
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    chosen = (errors or lines or [f"pip ended with status {ended.returncode}"])[-1]
    return chosen.replace("ERROR: ", "", 1)
