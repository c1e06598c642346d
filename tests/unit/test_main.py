"""Tests how the process of the console command ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.once
_CODE = """
import atexit
import rolerunner.__main__
import rolerunner.cli

atexit.register(print, "hook")
rolerunner.cli.run_command_line = lambda: {returned}
rolerunner.__main__.main()
print("the interpreter goes on")
"""


@pytest.mark.parametrize(
    ("returned", "printed"),
    [(True, ["hook"]), (False, ["the interpreter goes on", "hook"])],
)
def test_hooks_are_called_and_output_is_written_however_the_process_ends(
    returned: bool, printed: list[str]
) -> None:
    command = [sys.executable, "-c", _CODE.format(returned=returned)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert completed.stdout.splitlines() == printed
