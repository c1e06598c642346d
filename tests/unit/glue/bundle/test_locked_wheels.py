"""The locks of dependencies, and the names of wheels."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest

from rolerunner.glue.bundle.locked_wheels import (
    LockedWheel,
    normalize_name,
    parse_name,
    parse_version,
    read_locks,
)
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES
from rolerunner.glue.launch.runtime import RUNTIMES


@pytest.mark.parametrize("tag", sorted({runtime.tag for runtime in RUNTIMES.values()}))
def test_each_lock_has_all_that_we_require_and_nothing_that_a_runtime_has(tag: str) -> None:
    locked = {pin.name for pin in read_locks(tag)}
    wanted = {
        normalize_name(re.split(r"[^\w.-]", each)[0])
        for each in requires("rolerunner") or ()
        if "extra ==" not in each
    }
    assert wanted - set(BOTO3_PACKAGES) <= locked
    assert not locked & set(BOTO3_PACKAGES)
    assert all(
        pin.file.endswith("-any.whl") or (tag in pin.file and "manylinux2014_x86_64" in pin.file)
        for pin in read_locks(tag)
    )


def test_names_are_normalized() -> None:
    assert normalize_name("Ruamel.YAML__clib") == "ruamel-yaml-clib"
    wheel = Path("x/PyYAML-6.0.2-cp311-cp311-manylinux2014_x86_64.whl")
    assert (parse_name(wheel), parse_version(wheel)) == ("pyyaml", "6.0.2")


def test_a_lock_is_a_requirement_with_its_hash() -> None:
    pin = LockedWheel("a", "1.0", "0f", "a-1.0-py3-none-any.whl")
    assert str(pin) == "a==1.0 --hash=sha256:0f"
