"""Tests the lists of the runtimes' packages."""

from __future__ import annotations

import pytest

from rolerunner.glue.bundle.locked_wheels import normalize_name
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES, read_runtime_packages
from rolerunner.glue.launch.runtime import RUNTIMES, Runtime


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_each_list_has_boto3_and_what_it_needs_under_normalized_names(runtime: Runtime) -> None:
    packages = read_runtime_packages(runtime)
    assert packages["boto3"].version == runtime.boto3
    assert packages["boto3"].is_listed
    assert all(packages[name].is_kept for name in BOTO3_PACKAGES)
    assert all(name == normalize_name(name) and packages[name].version for name in packages)


def test_what_awss_list_of_python_shell_does_not_name_is_not_relied_on() -> None:
    packages = read_runtime_packages(RUNTIMES["pythonshell"])
    assert packages["pandas"].is_kept
    assert (packages["tenacity"].version, packages["tenacity"].is_kept) == ("8.0.1", False)
    assert (packages["urllib3"].is_listed, packages["urllib3"].is_kept) == (False, True)
