"""A case: its id, the roles that it names and files beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec_testing.samples import JOB, READER, load


def test_a_case_is_named_by_its_file_and_its_name(tmp_path: Path) -> None:
    first, second = load(tmp_path, "  - {name: one}\n  - {name: two}\n")
    assert first.id == f"{tmp_path}/job.test.yaml::one"
    assert (second.mark.line, second.mark.column) == (4, 12)
    assert first.folder != second.folder
    assert not first.folder.exists(), "it is created when the case runs"


@pytest.mark.parametrize(
    ("role", "arn"),
    [("job", JOB), ("reader", READER), (JOB, JOB), ("unknown", "unknown")],
)
def test_a_role_is_an_alias_the_job_or_an_arn(tmp_path: Path, role: str, arn: str) -> None:
    (case,) = load(tmp_path, "  - {name: one}\n")
    assert case.arn(role) == arn


def test_without_a_job_an_alias_has_no_arn(tmp_path: Path) -> None:
    (case,) = load(tmp_path, "  - {name: one, params: {day: never}, expect: {exit: 2}}\n")
    assert case.job is None
    assert case.arn("reader") == "reader"
    assert case.arn("job") == JOB


def test_files_are_relative_to_the_test_file(tmp_path: Path) -> None:
    (case,) = load(tmp_path, "  - {name: one}\n")
    assert case.resolve_path("data/a.csv") == tmp_path / "data" / "a.csv"
