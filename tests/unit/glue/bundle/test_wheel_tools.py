"""Conflicts of requirements with a runtime, and tools that fail."""

from __future__ import annotations

import re

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.bundle import wheel_tools
from rolerunner.glue.launch.runtime import RUNTIMES


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
        wheel_tools._raise_conflict(reason, RUNTIMES["pythonshell"])


def test_other_failures_are_no_conflict() -> None:
    wheel_tools._raise_conflict(
        "Because docopt==0.6.2 has no usable wheels", RUNTIMES["pythonshell"]
    )


def test_the_mark_of_a_runtime_is_a_local_version() -> None:
    assert wheel_tools.mark_version(RUNTIMES["glue-5.0"]) == "+glue.5.0"


def test_a_tool_that_is_not_installed() -> None:
    with pytest.raises(UsageError, match=r"pip install 'rolerunner\[deploy\]'"):
        wheel_tools._run_tool(["no_such_tool"], RUNTIMES["glue-5.0"], {})
