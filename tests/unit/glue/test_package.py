"""Tests rules that hold for the whole package."""

from __future__ import annotations

import re

from tests.conftest import ROOT


def test_glues_api_is_called_in_few_rooms() -> None:
    """Jobs are deployed in ``glue``; other rooms call what steps, ``check`` and tests need."""
    package = ROOT / "framework/rolerunner"
    called = re.compile(r"""client\([^)]*["']glue["']|\.call\(\s*["']glue["']""")
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if called.search(path.read_text())
    }
    assert found == {"actions", "glue", "policies", "sandbox", "spec_testing"}
