"""Runs the job on the embedded AWS, as CI does: pip install 'rolerunner[cli,sandbox]' pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.count import count_lines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from rolerunner.testing import CreateContext, StartSandbox


def test_the_job_runs(rolerunner_sandbox: StartSandbox, tmp_path: Path) -> None:
    """Every step succeeds, and the lines are counted right."""
    sandbox = rolerunner_sandbox("job.yaml", {"workdir": f"{tmp_path}/work/"})
    result = sandbox.run()
    assert {step.id: step.status for step in result.steps} == {
        "find": "succeeded",
        "fetch": "succeeded",
        "count": "succeeded",
        "tell": "succeeded",
    }
    (told,) = sandbox.list_objects("s3://results-111122223333/counts/")
    assert b'"lines": 3' in sandbox.read_object(told)


def test_lines_are_counted(
    rolerunner_context: CreateContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The function is called as a step calls it, without AWS."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    with caplog.at_level("INFO"):
        assert count_lines(rolerunner_context(), str(tmp_path)) == {"lines": 2}
    assert caplog.messages == ["counted lines=2"]
