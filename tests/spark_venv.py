"""A Python with pyspark and this checkout in a virtual environment beside it.

It is made once, as pyspark has 300 MB.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import NamedTuple, Optional

from tests.interpreters import ROOT, add_checkout, create_venv, find_python


class Release(NamedTuple):
    """The Python for a release of Spark, and the Hadoop inside it."""

    python: str
    hadoop: str


RELEASES = {
    "3.3.0": Release("3.10", "3.3.2"),
    "3.5.6": Release("3.11", "3.3.4"),
    "4.1.1": Release("3.13", "3.4.2"),
}
SPARK = os.environ.get("ROLERUNNER_TEST_SPARK", "3.5.6")
"""The release to test with; CI tests with the default."""
RELEASE = RELEASES[SPARK]
VENV = ROOT / f".venv-spark-{SPARK}"
PACKAGE = VENV / f"lib/python{RELEASE.python}/site-packages/pyspark"


def python_with_spark() -> Optional[Path]:
    """Returns its interpreter; None without Java or the Python that it needs."""
    with (ROOT / "setup.py").open() as lock:  # test modules of two workers may ask at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _find_or_create()


def _find_or_create() -> Optional[Path]:
    python, done = VENV / "bin/python", VENV / ".done"
    if not done.exists() or done.stat().st_mtime < (ROOT / "setup.py").stat().st_mtime:
        base = find_python(RELEASE.python)
        if base is None or not shutil.which("java"):
            return None
        shutil.rmtree(VENV, ignore_errors=True)
        create_venv(VENV, base, f"pyspark=={SPARK}", "pytest>=8")
        add_checkout(python)
        done.touch()
    return python
