"""The packages that environments of the runtimes get."""

from __future__ import annotations

import pytest

from rolerunner.glue.bundle.runtime_packages import read_runtime_packages
from rolerunner.glue.launch.runtime import RUNTIMES, Runtime
from rolerunner.glue.rehearsal.package_lists import WITHOUT_WHEEL, list_packages


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_each_environment_has_the_runtimes_boto3_and_a_pip(runtime: Runtime) -> None:
    listed = list_packages(runtime)
    assert f"boto3=={runtime.boto3}" in listed.packages
    assert sum(each.startswith("pip==") for each in listed.packages) == 1
    assert list_packages(runtime) == listed


def test_only_listed_packages_are_left_out_and_hashes_differ() -> None:
    assert all(name in read_runtime_packages(RUNTIMES[runtime]) for runtime, name in WITHOUT_WHEEL)
    assert "matplotlib==3.4.3" not in list_packages(RUNTIMES["glue-4.0"]).packages
    assert len({list_packages(each).hash for each in RUNTIMES.values()}) == len(RUNTIMES)


def test_packages_of_spark_make_another_environment() -> None:
    runtime = RUNTIMES["glue-5.1"]
    alone, more = list_packages(runtime), list_packages(runtime, ("pyspark==3.5.6",))
    assert more.packages == (*alone.packages, "pyspark==3.5.6")
    assert more.hash != alone.hash
