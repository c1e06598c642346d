"""Mistakes that a rehearsal reports before it makes anything, and its exit status."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from rolerunner.cli.rehearse import _choose_runtimes, _choose_status, rehearse
from rolerunner.errors import UsageError
from rolerunner.model import GlueSettings, Job
from tests.unit.glue.rehearsal.test_report import BAD, GOOD

SPEC = """
version: 1
name: nightly
steps: [{id: a, action: s3.list, role: job, source: "s3://bucket/"}]
"""


def test_missing_interpreters_are_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rolerunner.glue.rehearsal.interpreters.find_interpreter", lambda version: None
    )
    monkeypatch.setattr("rolerunner.glue.rehearsal.interpreters.check_platform", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = tmp_path / "nightly.yaml"
    spec.write_text(SPEC)
    with pytest.raises(
        UsageError, match=r"Python 3\.9 for pythonshell; Python 3\.10 for glue-4\.0"
    ):
        CliRunner().invoke(
            rehearse,
            [str(spec), "--runtime", "all"],
            catch_exceptions=False,
        )
    assert not (tmp_path / "cache").exists()


def test_the_runtime_is_the_specs_unless_another_is_given() -> None:
    job = Job("nightly", (), {}, glue=GlueSettings(runtime="glue-5.0"))
    assert _choose_runtimes(job, None) == ["glue-5.0"]
    assert _choose_runtimes(job, "glue-6.0") == ["glue-6.0"]
    assert len(_choose_runtimes(job, "all")) == 5
    assert _choose_runtimes(replace(job, glue=None), None) == ["pythonshell"]


def test_the_exit_status_tells_refused_roles_from_other_failures() -> None:
    assert _choose_status([GOOD]) == 0
    assert _choose_status([GOOD, BAD]) == 4
    assert _choose_status([GOOD, BAD, replace(BAD, error_type="RolesRefused")]) == 3
