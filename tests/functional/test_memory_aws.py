"""The in-memory AWS that other tests use: a run of each engine, and its hooks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.memory_aws import LOSE, Outcome, Request, Store, error

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

SPEC = """
version: 1
name: copies
engine: {engine}
roles:
  reader: arn:aws:iam::444455556666:role/reader
  writer: arn:aws:iam::444455556666:role/writer
steps:
  - {{id: move, action: s3.copy, source_role: reader, target_role: writer,
      source: "s3://landing/p/", target: "s3://publish/p/"}}
"""


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_both_engines_copy_over_failures_and_lost_answers(
    engine: str,
    memory_aws: Store,
    tmp_path: Path,
    rolerunner: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for number in range(5):
        memory_aws.put("landing", f"p/{number}", f"text {number}")
    outcomes: list[Outcome] = [error(503, "SlowDown"), LOSE]

    def hook(request: Request) -> Outcome:
        return outcomes.pop() if outcomes and request.method == "PUT" else None

    memory_aws.hook = hook
    (tmp_path / "spec.yaml").write_text(SPEC.format(engine=engine))
    run = rolerunner("run", "spec.yaml", "--result", "r.json")
    assert run.returncode == 0, run.stdout + run.stderr
    assert not outcomes
    bodies = memory_aws.bodies()
    assert [bodies[f"s3://publish/p/{number}"] for number in range(5)] == [
        f"text {number}".encode() for number in range(5)
    ]
    assert sorted(memory_aws.assumed) == [
        "arn:aws:iam::444455556666:role/reader",
        "arn:aws:iam::444455556666:role/writer",
    ]
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["steps"][0]["outputs"]["count"] == 5
