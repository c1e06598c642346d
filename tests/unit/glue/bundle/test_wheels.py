"""Tests the locks of dependencies and the order of wheels."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest

from rolerunner.errors import UsageError
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


@pytest.mark.parametrize(
    ("wanted", "had", "message"),
    [
        ("pandas>=3", "pandas==1.4.2+pythonshell", "pythonshell, which has pandas 1.4.2: you "),
        (
            "jinja2<3",
            "Jinja2==3.1.6",
            "rolerunner, which needs Jinja2 3.1.6: you require jinja2<3 ",
        ),
    ],
)
def test_a_conflict_names_both_versions_and_whose_they_are(
    wanted: str, had: str, message: str
) -> None:
    reason = (
        f"error: Because you require {wanted} and {had}, we can conclude that your requirements"
    )
    with pytest.raises(UsageError, match=re.escape(f"conflict with {message}")):
        wheels._raise_conflict(reason, RUNTIMES["pythonshell"])


def test_other_failures_are_no_conflict() -> None:
    wheels._raise_conflict("Because docopt==0.6.2 has no usable wheels", RUNTIMES["pythonshell"])


def test_an_extra_of_a_package_of_the_runtime_is_refused() -> None:
    kept = {"requests"}
    wheels._reject_extras(["requests>=2", "httpx[socks]"], kept, RUNTIMES["glue-5.0"])
    with pytest.raises(UsageError, match=r"'Requests \[socks\]' under 'requirements': requests is"):
        wheels._reject_extras(["Requests [socks]"], kept, RUNTIMES["glue-5.0"])
