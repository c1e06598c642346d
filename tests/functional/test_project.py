"""init lays out a project that runs, and graph draws it."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from rolerunner import api, graph
from tests.conftest import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def test_a_new_project_runs_at_once_and_passes_its_own_test(rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    made = rolerunner("init", "my-job")
    assert (made.returncode, made.stderr) == (0, "")
    assert (tmp_path / "my-job/.github/workflows/check.yaml").exists()
    assert rolerunner("validate", "my-job/job.yaml").returncode == 0
    assert rolerunner("run", "my-job/job.yaml", "--sandbox", "-p", f"workdir={tmp_path}/w/").returncode == 0
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "my-job",
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert tested.returncode == 0, tested.stdout


def test_nothing_is_overwritten(rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("mine\n")
    made = rolerunner("init", tmp_path)
    assert made.returncode == 2
    assert "job.yaml is there already; nothing was written" in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]
    assert (tmp_path / "job.yaml").read_text() == "mine\n"


def test_the_svg_has_a_box_a_step_and_a_line_a_need(rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    ended = rolerunner("graph", CONFIGS / "partner_exchange.yaml", "-o", "g.svg")
    assert (ended.returncode, ended.stderr) == (0, "")
    picture = ET.parse(tmp_path / "g.svg").getroot()
    job = api.load(CONFIGS / "partner_exchange.yaml")
    boxes = [group.get("id") for group in picture.findall(f"{SVG}g")]
    assert boxes == [f"step-{step.id}" for step in job.steps]
    assert len(picture.findall(f"{SVG}path")) == sum(len(step.needs) for step in job.steps)
    corners = {(box.get("x"), box.get("y")) for box in picture.iter(f"{SVG}rect")}
    assert len(corners) == len(job.steps), "no box covers another"


def test_text_in_a_picture_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nsteps:\n  - {id: a, action: python.call, function: 'a:b', when: \"${{ run.name == '<b>&' }}\"}\n"
    )
    plan = api.plan(api.load(tmp_path / "job.yaml"))
    assert "&lt;b&gt;&amp;" in graph.svg(plan)
    ET.fromstring(graph.svg(plan))
    assert "<b>" not in graph.mermaid(plan)
