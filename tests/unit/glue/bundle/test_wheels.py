"""Requirements of a user that a runtime's own packages meet."""

from __future__ import annotations

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.bundle import wheels
from rolerunner.glue.launch.runtime import RUNTIMES


def test_an_extra_of_a_package_of_the_runtime_is_refused() -> None:
    kept = {"requests"}
    wheels._reject_extras(["requests>=2", "httpx[socks]"], kept, RUNTIMES["glue-5.0"])
    with pytest.raises(UsageError, match=r"'Requests \[socks\]' under 'requirements': requests is"):
        wheels._reject_extras(["Requests [socks]"], kept, RUNTIMES["glue-5.0"])
