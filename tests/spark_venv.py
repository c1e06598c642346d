"""A Python with pyspark and this checkout, in its own venv, which is created once (300 MB)."""

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
    """Returns the interpreter of that venv, or None without Java or Python 3.11.

    No newer Python runs this version of pyspark.
    """
    python, marker_file = VENV / "bin/python", VENV / ".done"
    if (
        not marker_file.exists()
        or marker_file.stat().st_mtime < (ROOT / "setup.py").stat().st_mtime
    ):
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
                *_list_requirements(),
            ],
            check=True,
        )
        # not installed: other tests build the package at the same time, and both would write into
        # the checkout
        (PACKAGE.parent / "checkout.pth").write_text(str(ROOT / "framework"))
        marker_file.touch()
    return python


def _list_requirements() -> list[str]:
    """Returns the requirements of this checkout's package and its command."""
    requirements = [each.partition(";") for each in metadata.requires("rolerunner") or ()]
    return [
        name.strip()
        for name, _, marker in requirements
        if not marker or 'extra == "cli"' in marker.replace("'", '"')
    ]
