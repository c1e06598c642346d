"""Tests the locks of dependencies and the order of wheels."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest

from rolerunner.glue.bundle import wheels
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES
from rolerunner.glue.launch.runtime import RUNTIMES


@pytest.mark.parametrize("tag", sorted({runtime.tag for runtime in RUNTIMES.values()}))
def test_each_lock_has_all_that_we_require_and_nothing_that_a_runtime_has(tag: str) -> None:
    locked = {pin.name for pin in wheels.read_locks(tag)}
    wanted = {
        wheels.normalize_name(re.split(r"[^\w.-]", each)[0])
        for each in requires("rolerunner") or ()
        if "extra ==" not in each
    }
    assert wanted - set(BOTO3_PACKAGES) <= locked
    assert not locked & set(BOTO3_PACKAGES)
    assert all(
        pin.file.endswith("-any.whl") or (tag in pin.file and "manylinux2014_x86_64" in pin.file)
        for pin in wheels.read_locks(tag)
    )
