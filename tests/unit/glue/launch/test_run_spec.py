"""Tests the entry script."""

from __future__ import annotations

from tests.conftest import ROOT


def test_the_script_that_is_shipped_is_the_one_in_jobs() -> None:
    assert (ROOT / "jobs/run_spec.py").read_bytes() == (
        ROOT / "framework/rolerunner/glue/launch/run_spec.py"
    ).read_bytes()
