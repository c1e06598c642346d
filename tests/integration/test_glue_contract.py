"""The scanner of arguments agrees with each version of AWS's getResolvedOptions."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.glue.launch.arguments import parse_arguments
from tests.integration.test_bundles import PIP, python, run_command
from tests.unit.glue.launch.test_arguments import PYTHON_SHELL, SPARK

if TYPE_CHECKING:
    from pathlib import Path

# getResolvedOptions is argparse and nothing of Spark, but its package imports pyspark and py4j,
# which are hundreds of megabytes
THEIRS = """
import json, sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

class Absent:
    def find_spec(self, name, path=None, target=None):
        is_stub = name.split(".")[0] in ("pyspark", "py4j")
        return ModuleSpec(name, self, is_package=True) if is_stub else None
    def create_module(self, spec):
        made = MagicMock(name=spec.name)
        made.__path__ = []
        return made
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Absent())
from awsglue.utils import getResolvedOptions
from contextlib import redirect_stderr
from io import StringIO

found = []
for arguments, names in json.load(sys.stdin):
    try:
        with redirect_stderr(StringIO()):
            read = getResolvedOptions(["script.py", *arguments], names)
        found.append({name: read[name] for name in names})
    except (Exception, SystemExit) as error:
        found.append(None)
print(json.dumps(found))
"""
ALIKE = [
    (["--a", "1", "--b", "two words"], ["a", "b"]),
    (["--a=1", "--b=x=y", "--c="], ["a", "b", "c"]),
    (["--n", "-3", "--f", "-0.5"], ["n", "f"]),
    (["--a", "--b=--x", "--a", "y"][1:], ["a", "b"]),
    (
        ["--path", "s3://bucket/a=b/", "--json", '{"a": [1, 2]}', "--none", "null"],
        ["path", "json", "none"],
    ),
    ([*SPARK, "--TempDir", "s3://b/t/"], ["JOB_NAME", "n"]),
    (PYTHON_SHELL[3:5] + PYTHON_SHELL[6:], ["job_spec", "run_date"]),
    (["--unicode", "naïve Zürich", "--tab", "a\tb", "stray", "--z", "1"], ["unicode", "tab", "z"]),
    (["--python-modules-installer-option", "--no-index", "--a", "1"], ["a"]),
    (["--under_score", "1", "--CamelCase", "2"], ["under_score", "CamelCase"]),
]
FAIL_THERE = [
    (
        ["--empty", "--b", "x"],
        ["empty", "b"],
        {"empty": "", "b": "x"},
    ),  # Glue loses the token of an empty value
    (["--a", "1"], ["a", "b"], {"a": "1"}),  # an option that is not given
    ([*SPARK], ["JOB_RUN_ID"], {"JOB_RUN_ID": "jr_" + "0" * 64}),
    (["--a", "-x"], ["a"], {"a": "-x"}),
]


def ours(arguments: list[str], names: list[str]) -> dict[str, str]:
    found = parse_arguments(arguments)
    everything = {**found.glue, **found.params, **found.ours}
    return {name: everything[name] for name in names if name in everything}


@pytest.mark.slow
@pytest.mark.parametrize(("version", "interpreter"), [("5.1.0", "3.11"), ("6.0.0", "3.13")])
def test_the_scanner_reads_what_get_resolved_options_reads(
    version: str, interpreter: str, tmp_path: Path
) -> None:
    run_command(python(interpreter), "-m", "venv", tmp_path / "venv")
    there = tmp_path / "venv/bin/python"
    run_command(there, *PIP, "--no-deps", f"awsgluedataplanepython=={version}")
    cases = [[arguments, names] for arguments, names, *_ in [*ALIKE, *FAIL_THERE]]
    completed = subprocess.run(
        [there, "-c", THEIRS], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    theirs: list[Any] = json.loads(completed.stdout)
    assert [ours(arguments, names) for arguments, names in ALIKE] == theirs[: len(ALIKE)]
    assert [ours(arguments, names) for arguments, names, _ in FAIL_THERE] == [
        expected for _, _, expected in FAIL_THERE
    ]
    assert theirs[len(ALIKE) :] == [None] * len(FAIL_THERE)  # what our scanner is for
