"""The tests of roles, options and state in S3 on the boto3 of each Glue runtime.

Each runs in a virtual environment of the runtime's Python and boto3.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interpreters import ROOT, add_checkout, create_venv, find_python, install_packages

TESTS = (
    "tests/functional/test_role_sessions.py",
    "tests/unit/iam/test_role_denials.py",
    "tests/functional/test_every_option.py",
    "tests/functional/test_resume.py::test_a_resumed_run_does_what_is_left",
    "tests/functional/test_resume.py::test_steps_that_found_nothing_are_stored_too",
)
# newer ones have every parameter, and everything else runs on the newest
VERSIONS = {
    "pythonshell": ("3.9", ("boto3==1.21.21", "botocore==1.24.21", "s3transfer==0.5.2")),
    # by AWS's list; botocore violates the metadata of this boto3, and urllib3 1.25 there warns
    # on 3.10, where a warning is an error in tests
    "glue-4.0": (
        "3.10",
        ("boto3==1.24.70", "botocore==1.27.59", "s3transfer==0.6.0", "urllib3==1.26.20"),
    ),
    "glue-5.0": ("3.11", ("boto3==1.34.131", "botocore==1.34.131", "s3transfer==0.10.2")),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "runtime",
    # the oldest lacks most; a release tries the others as well
    ["pythonshell", *(pytest.param(each, marks=pytest.mark.release) for each in (*VERSIONS,)[1:])],
)
def test_the_boto3_of(runtime: str, tmp_path: Path) -> None:
    version, packages = VERSIONS[runtime]
    found = find_python(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    python = create_venv(tmp_path / "venv", found, "pytest", "pytest-timeout", "hypothesis")
    add_checkout(python)
    install_packages(python, "--no-deps", *packages)
    marked = () if "ROLERUNNER_CI_TESTS" in os.environ else ("-m", "not release")
    done = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", *marked, *TESTS],
        cwd=ROOT,
        env={**os.environ, "ROLERUNNER_SANDBOX_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
