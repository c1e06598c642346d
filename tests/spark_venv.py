"""A Python with pyspark and this checkout, in a venv of its own beside it, made once: pyspark has 300 MB."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
SPARK = "3.5.6"
VENV = ROOT / f".venv-spark-{SPARK}"
PACKAGE = VENV / "lib/python3.11/site-packages/pyspark"


def python_with_spark() -> Path | None:
    """Its interpreter; None where there is no Python 3.11 (the newest that this pyspark takes) or no Java."""
    python, done = VENV / "bin/python", VENV / ".done"
    if not done.exists() or done.stat().st_mtime < (ROOT / "setup.py").stat().st_mtime:
        python311 = sorted(Path.home().glob(".pyenv/versions/3.11*/bin/python"))
        found = str(python311[-1]) if python311 else shutil.which("python3.11")
        if not found or not shutil.which("java"):
            return None
        subprocess.run([found, "-m", "venv", VENV], check=True)
        subprocess.run(
            [
                python,
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                f"pyspark=={SPARK}",
                "pytest>=8",
                *_wanted(),
            ],
            check=True,
        )
        # not installed: other tests build the package at the same time, and both would write into
        # the checkout
        (PACKAGE.parent / "checkout.pth").write_text(str(ROOT / "framework"))
        done.touch()
    return python


def _wanted() -> list[str]:
    """What this checkout's package and its command need."""
    needed = [each.partition(";") for each in metadata.requires("rolerunner") or ()]
    return [
        name.strip()
        for name, _, marker in needed
        if not marker or 'extra == "cli"' in marker.replace("'", '"')
    ]
