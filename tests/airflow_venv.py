"""A Python with Airflow and this checkout in a virtual environment beside it, made once.

`tests/airflow.txt` pins all packages; to renew it, see its first lines.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

from tests.interpreters import ROOT, create_venv, find_python

PINS = ROOT / "tests" / "airflow.txt"
VENV = ROOT / ".venv-airflow"
PYTHON = "3.11"
"""The Python for which the packages are pinned."""


def python_with_airflow() -> Optional[Path]:
    """Returns its interpreter; None without the Python that it needs."""
    with PINS.open() as lock:  # test modules of two workers may ask at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _find_or_create()


def _find_or_create() -> Optional[Path]:
    python, done = VENV / "bin/python", VENV / ".done"
    if not done.exists() or done.stat().st_mtime < PINS.stat().st_mtime:
        base = find_python(PYTHON)
        if base is None:
            return None
        shutil.rmtree(VENV, ignore_errors=True)
        create_venv(VENV, base)
        _install_pins(python)
        Path(_find_packages(python), "checkout.pth").write_text(str(ROOT / "framework"))
        done.touch()
    return python


def _install_pins(python: Path) -> None:
    """Installs the pinned packages; most modules are never imported, so none is compiled."""
    install = [sys.executable, "-m", "uv", "--quiet", "pip", "install", "--python", str(python)]
    subprocess.run([*install, "-r", str(PINS)], check=True)


def _find_packages(python: Path) -> str:
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", place], check=True, capture_output=True, text=True)
    return found.stdout.strip()
