"""Environments that would overwrite each other's Glue job are a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner import api

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
version: 1
name: nightly
environments:
  dev: {glue: %s}
  prod: {glue: %s}
steps:
  - {id: a, action: s3.list, role: job, source: "s3://bucket/"}
"""
ONE, TWO = (f"arn:aws:iam::{each * 4}:role/glue" for each in ("111", "222"))


@pytest.mark.parametrize(
    ("dev", "prod", "shared"),
    [
        ("{artifacts: s3://ops/a/}", "{artifacts: s3://ops/a/}", True),
        ("{artifacts: s3://ops/a/}", "{artifacts: s3://ops/a}", True),
        ("{artifacts: s3://ops/a/}", "{artifacts: s3://ops/a/, job_name: nightly}", True),
        ("{artifacts: s3://ops/a/}", "{artifacts: s3://ops/a/, job_name: other}", False),
        ("{artifacts: s3://ops/a/}", "{artifacts: s3://ops/b/}", False),
        (f"{{role: {ONE}}}", f"{{role: {ONE}}}", True),
        (f"{{role: {ONE}, region: eu-west-1}}", f"{{role: {ONE}, region: eu-west-2}}", False),
        (f"{{role: {ONE}}}", f"{{role: {TWO}}}", False),
        ("{role: glue}", "{role: glue}", False),
        (f"{{role: {ONE}}}", "null", False),
    ],
)
def test_two_environments_have_jobs_of_their_own(
    tmp_path: Path, dev: str, prod: str, shared: bool
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SPEC % (dev, prod))
    found = [str(each).partition("t.yaml:")[2] for each in api.find_problems(path)]
    assert found == (
        [
            (
                "6:3: the environments 'dev' and 'prod' have the same Glue job "
                "(set 'job_name' under 'glue' in one of them)"
            )
        ]
        if shared
        else []
    )
