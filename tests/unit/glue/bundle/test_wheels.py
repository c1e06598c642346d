"""Tests the locks of dependencies and the order of wheels."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest

from rolerunner.glue.bundle import archives, wheels
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES
from rolerunner.glue.launch.runtime import RUNTIMES


def test_wheels_come_in_the_order_in_which_they_can_be_installed(tmp_path: Path) -> None:
    for name, needs in {
        "a-first": ("z_last",),
        "z_last": (),
        "m": ("A.First", "elsewhere"),
        "x": ("y",),
        "y": (),
    }.items():
        metadata = f"Name: {name}\nVersion: 1\n" + "".join(
            f"Requires-Dist: {need}>=1; python_version > '3'\n" for need in needs
        )
        file, data = archives.make_wheel(name, "1", {}, metadata)
        (tmp_path / file).write_bytes(data)
    order = [wheels.parse_name(path) for path in wheels.sort_by_dependency(tmp_path.glob("*.whl"))]
    assert order.index("z-last") < order.index("a-first") < order.index("m")
    assert order.index("y") < order.index("x")


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
