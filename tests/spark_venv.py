"""A Python with pyspark and this checkout in a virtual environment beside it.

It is made once, as pyspark has 300 MB.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import Optional

from tests.interpreters import ROOT, add_checkout, create_venv, find_python

SPARK = "3.5.6"
VENV = ROOT / f".venv-spark-{SPARK}"
PACKAGE = VENV / "lib/python3.11/site-packages/pyspark"


def python_with_spark() -> Optional[Path]:
    """Returns its interpreter; None without Java or Python 3.11, the newest for this pyspark."""
    with (ROOT / "setup.py").open() as lock:  # test modules of two workers may ask at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _find_or_create()


def _find_or_create() -> Optional[Path]:
    python, done = VENV / "bin/python", VENV / ".done"
    if not done.exists() or done.stat().st_mtime < (ROOT / "setup.py").stat().st_mtime:
        python311 = find_python("3.11")
        if python311 is None or not shutil.which("java"):
            return None
        shutil.rmtree(VENV, ignore_errors=True)
        create_venv(VENV, python311, f"pyspark=={SPARK}", "pytest>=8")
        add_checkout(python)
        done.touch()
    return python
