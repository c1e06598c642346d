"""Finds the interpreters of this machine, and makes virtual environments of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).parents[1]


def find_python(version: str) -> Optional[Path]:
    """Returns an interpreter of a version such as 3.9, pyenv's newest or that on the PATH."""
    folder = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(folder.glob(f"{version}.*/bin/python"), key=_parse_release)
    if installed:
        return installed[-1]
    found = shutil.which(f"python{version}")
    return Path(found) if found else None


def create_venv(folder: Path, python: Path, *requirements: str) -> Path:
    """Creates a virtual environment with these packages; returns its interpreter."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", str(python), str(folder)], check=True)
    interpreter = folder / "bin/python"
    if requirements:
        install_packages(interpreter, *requirements)
    return interpreter


def install_packages(interpreter: Path, *arguments: str) -> None:
    """Installs packages into the environment of an interpreter, by uv."""
    command = [sys.executable, "-m", "uv", "--quiet", "pip", "install"]
    command += ["--compile-bytecode", "--python"]
    subprocess.run([*command, str(interpreter), *arguments], check=True)


def add_checkout(interpreter: Path) -> None:
    """Makes the package of this checkout importable, and installs what it and its command need.

    It is not installed itself: other tests build it at the same time, and both would write into
    the checkout.
    """
    install_packages(interpreter, *_list_requirements())
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([interpreter, "-c", place], check=True, capture_output=True, text=True)
    Path(found.stdout.strip(), "checkout.pth").write_text(str(ROOT / "framework"))


def _list_requirements() -> list[str]:
    needed = [each.partition(";") for each in metadata.requires("rolerunner") or ()]
    return [
        name.strip()
        for name, _, marker in needed
        if not marker or any(f'extra == "{extra}"' in marker for extra in ("cli", "zstd"))
    ]


def _parse_release(python: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in python.parents[1].name.split(".") if part.isdigit())
