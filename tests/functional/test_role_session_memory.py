"""Memory that sessions and clients of many roles take."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench/roles.py"


pytestmark = pytest.mark.once


def test_50_roles_with_a_client_each_stay_under_100_megabytes() -> None:
    completed = subprocess.run(
        [sys.executable, str(BENCH), "rolerunner", "50"], check=True, capture_output=True, text=True
    )
    _, _, calls, _, megabytes = completed.stdout.split("\t")
    assert int(calls) == 50
    assert float(megabytes) < 100
