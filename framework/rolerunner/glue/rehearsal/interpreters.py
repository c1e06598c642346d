"""Finds the interpreters of Glue's runtimes on this machine, and has uv install missing ones."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolerunner.glue.launch.runtime import Runtime

_LINES = 6
"""Lines of a failed tool's output that are shown."""


def check_platform() -> None:
    """Raises UsageError on a machine that cannot run the wheels of a bundle."""
    here = f"{platform.system()} on {platform.machine()}"
    if here != "Linux on x86_64":
        raise UsageError(
            f"Glue's wheels run on Linux on x86_64, and this is {here}: rehearse in a container, "
            "as in docker run --platform linux/amd64"
        )


def find_interpreters(runtimes: Iterable[Runtime], *, install: bool = False) -> dict[str, Path]:
    """Returns Python version -> interpreter.

    Raises UsageError that names every missing one, unless ``install`` lets uv install them.
    """
    found: dict[str, Path] = {}
    missing: dict[str, list[str]] = {}
    for runtime in runtimes:
        interpreter = found.get(runtime.python) or find_interpreter(runtime.python)
        if interpreter is None and install:
            run_uv(["python", "install", "--no-bin", runtime.python])
            interpreter = find_interpreter(runtime.python)
        if interpreter is None:
            missing.setdefault(runtime.python, []).append(runtime.name)
        else:
            found[runtime.python] = interpreter
    if missing:
        needs = "; ".join(
            f"Python {version} for {', '.join(names)}" for version, names in missing.items()
        )
        raise UsageError(
            f"interpreters are missing on this machine: {needs}; install them, "
            "or add --install-pythons to have uv install them"
        )
    return found


def find_interpreter(version: str) -> Optional[Path]:
    """Returns an interpreter of a version such as 3.9: pyenv's, one on the PATH, or uv's."""
    return next((path for path in _list_candidates(version) if _has_version(path, version)), None)


def _list_candidates(version: str) -> Iterator[Path]:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        yield Path(getattr(sys, "_base_executable", sys.executable))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), key=_parse_patch)[-1:]
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    if find_spec("uv") is not None:
        folder = Path(run_uv(["python", "dir"]).strip())
        yield from sorted(folder.glob(f"cpython-{version}.*/bin/python{version}"))[-1:]


def _parse_patch(python: Path) -> int:
    """Returns 18 for ``.../versions/3.9.18/bin/python``."""
    patch = python.parents[1].name.split(".")[-1]
    return int(patch) if patch.isdigit() else -1


def _has_version(python: Path, version: str) -> bool:
    """Returns True if the interpreter runs; pyenv puts scripts that only fail on the PATH."""
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        ended = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError:
        return False
    return ended.returncode == 0 and ended.stdout.strip() == version


def run_uv(arguments: Sequence[str], environment: Optional[Mapping[str, str]] = None) -> str:
    """Runs uv and returns its output. Raises UsageError."""
    if find_spec("uv") is None:
        raise UsageError(
            "a rehearsal makes environments with uv, which is not installed: "
            "pip install 'rolerunner[deploy]'"
        )
    index = {"UV_INDEX_URL": os.environ["PIP_INDEX_URL"]} if "PIP_INDEX_URL" in os.environ else {}
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "uv", "--no-progress", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **index, **(environment or {})},
    )
    if ended.returncode != 0:
        tail = "\n  ".join(ended.stderr.strip().splitlines()[-_LINES:])
        raise UsageError(f"uv {' '.join(arguments[:2])} failed: {tail}")
    return ended.stdout
