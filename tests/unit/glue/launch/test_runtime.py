"""Tests which runtime a process finds itself in."""

from __future__ import annotations

import pytest

from rolerunner.glue.launch.runtime import detect_runtime


@pytest.mark.parametrize(
    ("script", "said", "environment", "runtime"),
    [
        ("/tmp/glue-python-scripts-ab12/run_spec.py", "", {}, "pythonshell"),
        ("/tmp/run_spec.py", "", {"GLUE_COMMAND_CRITERIA": "glueetl"}, "glueetl"),
        ("/tmp/run_spec.py", "", {"GLUE_INSTALLATION": "/glue"}, "pythonshell"),
        ("/home/x/run_spec.py", "", {}, "local"),
        ("/tmp/glue-python-scripts-ab12/run_spec.py", "local", {}, "local"),
    ],
)
def test_where_we_are(script: str, said: str, environment: dict[str, str], runtime: str) -> None:
    assert detect_runtime(script, said, environment) == runtime
