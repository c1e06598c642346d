"""The entry script puts the installed wheels before the runtime's packages, whatever the order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rolerunner

SCRIPT = Path(rolerunner.__file__).parent / "glue/launch/run_spec.py"
ENTRY = """
import sys, typing_extensions
def main(argv):
    print(typing_extensions.__file__, sys.path[0], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"GLUE_INSTALLATION": "installation"}, "installation"),
        ({}, "installation"),  # found where the package is
        ({"GLUE_INSTALLATION": "elsewhere"}, "installation"),
        ({"GLUE_COMMAND_CRITERIA": "glueetl"}, "runtime"),  # pip has replaced what is old
    ],
)
def test_the_installation_comes_first_in_python_shell_only(
    variables: dict[str, str], first: str, tmp_path: Path
) -> None:
    files = {
        "installation/rolerunner/__init__.py": "",
        "installation/rolerunner/glue/__init__.py": "",
        "installation/rolerunner/glue/entry.py": ENTRY,
        "installation/typing_extensions.py": "",
        "runtime/typing_extensions.py": "",
        "elsewhere/unrelated.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    given = {
        name: value if name.endswith("CRITERIA") else str(tmp_path / value)
        for name, value in variables.items()
    }
    search = os.pathsep.join(str(tmp_path / name) for name in ("runtime", "installation"))
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--job_spec", "s3://b/j.yaml"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": search, **given},
    )
    imported, top, *arguments = ended.stdout.split(" ", 2)
    assert imported == str(tmp_path / first / "typing_extensions.py")
    assert (top == str(tmp_path / "installation")) is (first == "installation")
    assert arguments == ["['--job_spec', 's3://b/j.yaml']\n"]
