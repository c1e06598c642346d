"""The text of ``rolerunner plan``, and options that need --live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rolerunner import api
from rolerunner.cli.plan import format_plan, plan

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """\
version: 1
name: nightly
roles:
  partner: {arn: 'arn:aws:iam::222233334444:role/p', external_id: fX-71ab-80, duration: 30m}
state: {location: s3://ops/state.json, role: job}
notify:
  - {on: [failed], sns: 'arn:aws:sns:eu-west-1:111122223333:ops', role: job}
steps:
  - {id: find, action: s3.list, role: partner, source: s3://landing/in/}
  - id: each
    for_each: [a, b]
    max_parallel: 2
    needs: [find]
    steps:
      - {id: read, action: s3.list, role: partner, source: 's3://landing/${{ item }}/'}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return path


def show(spec: Path, found: dict[str, Any] | None = None) -> list[str]:
    return format_plan(api.plan(api.load(str(spec))), found or {}).splitlines()


def test_roles_state_and_targets_come_first(spec: Path) -> None:
    lines = show(spec)
    assert lines[0] == "nightly: 2 steps, 1 role to assume"
    assert "role partner  arn:aws:iam::222233334444:role/p" in lines
    assert "     assumed from the job, 30 minutes, with an external id" in lines
    assert [line for line in lines if line.startswith("notify sns ")]
    assert [line for line in lines if line.startswith("state ")]
    assert "71ab" not in "\n".join(lines)


def test_a_group_comes_once_before_its_steps(spec: Path) -> None:
    lines = show(spec)
    start = lines.index("group each: the following steps for 2 items (2 at once)")
    assert lines[start + 1] == "   after find"
    assert [line for line in lines if line.startswith("1. find  s3.list")]
    assert lines.index("     needs s3:ListBucket on arn:aws:s3:::landing") > 0


def test_what_is_there_now(spec: Path) -> None:
    lines = show(spec, {"find": {"count": 1, "bytes": 2048, "extra": 3}})
    assert "     now: 1 object, 2,048 bytes, extra: 3" in lines


def test_json_has_the_steps(spec: Path) -> None:
    made = CliRunner().invoke(plan, [str(spec), "--json"])
    shown = json.loads(made.stdout)
    assert next(each["id"] for each in shown["steps"]) == "find"
    assert not [each for each in shown["steps"] if "live" in each]


@pytest.mark.parametrize("option", ["--sandbox", "--objects=-"])
def test_a_plan_by_itself_sends_no_requests(spec: Path, option: str) -> None:
    made = CliRunner().invoke(plan, [str(spec), option])
    assert made.exit_code == 2
    name = option.partition("=")[0]
    assert f"{name} requires --live: a plan by itself sends no requests" in made.output
