"""``plan --live`` without permission to look, and the files that ``graph`` writes."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

SPEC = """\
version: 1
name: live
roles: {reader: "arn:aws:iam::111122223333:role/reader"}
steps:
  - {id: fetch, action: s3.download, role: reader, source: "s3://landing/secret.json",
     target: /tmp/x}
  - {id: copy, action: s3.copy, role: reader,
     objects: ["s3://landing/secret.json", "s3://landing/open.json"], target: "s3://landing/y/"}
  - {id: remove, action: s3.delete, role: reader, source: "s3://landing/secret.json", max_delete: 3}
  - {id: others, action: s3.list, role: reader, source: "s3://other/"}
  - {id: nobody, action: s3.list, role: "arn:aws:iam::111122223333:role/nobody",
     source: "s3://landing/"}
  - {id: all, action: s3.list, role: reader, source: "s3://landing/"}
"""
WORLD = """\
version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - {arn: "arn:aws:iam::111122223333:role/job",
     permissions: [{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}]}
  - arn: arn:aws:iam::111122223333:role/reader
    trust: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::111122223333:role/job"},
            Action: sts:AssumeRole}]
    permissions:
      - {Effect: Allow, Action: "s3:ListBucket", Resource: "arn:aws:s3:::landing"}
      - {Effect: Allow, Action: "s3:GetObject", Resource: "arn:aws:s3:::landing/open.json"}
buckets:
  - {name: landing, account: "111122223333",
     objects: [{key: secret.json, text: "{}"}, {key: open.json, text: "{}"}]}
  - {name: other, account: "111122223333", objects: [{key: a, text: x}]}
"""


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_a_refusal_is_told_for_its_step_and_the_plan_goes_on(
    engine: str, rolerunner: Command, tmp_path: Path
) -> None:
    (tmp_path / "live.yaml").write_text(SPEC.replace("name: live", f"name: live\nengine: {engine}"))
    (tmp_path / "live.sandbox.yaml").write_text(WORLD)
    completed = rolerunner("plan", "live.yaml", "--live", "--sandbox", "--json")
    assert (completed.returncode, completed.stderr) == (0, "")
    live = {step["id"]: step["live"] for step in json.loads(completed.stdout)["steps"]}
    refused = (
        "1 object, the first since the role 'reader' may not s3:GetObject on "
        "arn:aws:s3:::landing/secret.json"
    )
    assert [refused in live[step]["refused"] for step in ("fetch", "copy", "remove")] == [
        True,
        True,
        True,
    ]
    assert live["copy"]["count"] == 2
    assert "may not s3:ListBucket" in live["others"]["unknown"]
    assert "could not be assumed" in live["nobody"]["unknown"]
    assert live["all"] == {"count": 2, "bytes": 4}


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("x.svg", "<svg"),
        ("x.SVG", "<svg"),
        ("x.mmd", "flowchart"),
        ("x.md", "flowchart"),
        ("x", "flowchart"),
    ],
)
def test_the_ending_of_the_file_says_the_form(
    name: str, begins: str, rolerunner: Command, tmp_path: Path
) -> None:
    (tmp_path / "live.yaml").write_text(SPEC)
    assert rolerunner("graph", "live.yaml", "-o", name).returncode == 0
    assert (tmp_path / name).read_text().startswith(begins)


@pytest.mark.parametrize("name", ["x.png", "x.pdf", "x.html", "x.svgz"])
def test_another_ending_is_refused_and_nothing_is_written(
    name: str, rolerunner: Command, tmp_path: Path
) -> None:
    (tmp_path / "live.yaml").write_text(SPEC)
    completed = rolerunner("graph", "live.yaml", "-o", name)
    assert completed.returncode == 2
    assert ".svg" in completed.stderr
    assert not (tmp_path / name).exists()
    assert rolerunner("graph", "live.yaml", "-o", name, "--format", "svg").returncode == 0
