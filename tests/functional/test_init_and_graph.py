"""``init`` creates a project that runs, and ``graph`` draws it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.plan import graph
from tests.conftest import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.model import Job

pytestmark = pytest.mark.once

SVG = "{http://www.w3.org/2000/svg}"


def test_a_new_project_runs_at_once_and_passes_its_own_test(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    made = rolerunner("init", "my-job")
    assert (made.returncode, made.stderr) == (0, "")
    assert (tmp_path / "my-job/.github/workflows/check.yaml").exists()
    assert rolerunner("validate", "my-job/job.yaml").returncode == 0
    assert (
        rolerunner("run", "my-job/job.yaml", "--sandbox", "-p", f"workdir={tmp_path}/w/").returncode
        == 0
    )
    test_run = rolerunner("test", "my-job")
    assert test_run.returncode == 0, test_run.stdout
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
    assert "job.yaml already exists; nothing was written" in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]
    assert (tmp_path / "job.yaml").read_text() == "mine\n"


def test_the_svg_has_a_box_a_step_and_a_line_a_need(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    completed = rolerunner("graph", CONFIGS / "partner_exchange.yaml", "-o", "g.svg")
    assert (completed.returncode, completed.stderr) == (0, "")
    picture = ET.parse(tmp_path / "g.svg").getroot()
    job = api.load(CONFIGS / "partner_exchange.yaml")
    boxes = [group.get("id") for group in picture.findall(f"{SVG}g")]
    assert boxes == [f"step-{step.id}" for step in job.steps]
    assert len(picture.findall(f"{SVG}path")) == sum(len(step.needs) for step in job.steps)
    corners = {(box.get("x"), box.get("y")) for box in picture.iter(f"{SVG}rect")}
    assert len(corners) == len(job.steps), "no box covers another"


def test_text_in_a_picture_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "version: 1\n"
        "name: t\n"
        "steps:\n"
        "  - {id: a, action: python.call, function: 'a:b', "
        "when: \"${{ run.name == '<b>&' }}\"}\n"
    )
    plan = api.plan(api.load(tmp_path / "job.yaml"))
    assert "&lt;b&gt;&amp;" in graph.render_svg(plan)
    ET.fromstring(graph.render_svg(plan))
    assert "<b>" not in graph.render_mermaid(plan)


def made(needs: dict[str, list[str]], tmp_path: Path) -> Job:
    steps = "".join(
        f"  - {{id: {step}, action: python.call, function: 'a:b', needs: {json.dumps(each)}}}\n"
        for step, each in needs.items()
    )
    (tmp_path / "job.yaml").write_text(f"version: 1\nname: t\nsteps:\n{steps}")
    return api.load(tmp_path / "job.yaml")


def trace_path(path_data: str) -> Iterator[tuple[float, float]]:
    """Points along a path of M, C, V and H, a pixel or so apart."""
    x = y = 0.0
    for letter, text in re.findall(r"([MCVH])([^MCVH]*)", path_data):
        numbers = [float(each) for each in text.split()]
        if letter == "M":
            x, y = numbers
        elif letter == "C":
            x1, y1, x2, y2, x3, y3 = numbers
            for step in range(301):
                t = step / 300
                a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3
                yield a * x + b * x1 + c * x2 + d * x3, a * y + b * y1 + c * y2 + d * y3
            x, y = x3, y3
        else:
            end = (numbers[0], y) if letter == "H" else (x, numbers[0])
            count = int(max(abs(end[0] - x), abs(end[1] - y), 1))
            yield from (
                (x + (end[0] - x) * step / count, y + (end[1] - y) * step / count)
                for step in range(count + 1)
            )
            x, y = end


SHAPES: list[dict[str, list[str]]] = [
    {"a": [], "b": ["a"], "c": ["a", "b"]},
    {
        "a": [],
        "b": [],
        "c": ["a"],
        "d": ["a", "b", "c"],
        "e": ["b"],
        "f": ["a", "b", "c", "d", "e"],
        "g": ["a", "f"],
    },
    {f"s{number}": [f"s{before}" for before in range(number)] for number in range(12)},
    {
        "root": [],
        **{f"w{number}": ["root"] for number in range(6)},
        "mid": ["w5"],
        "end": ["root", "w0", "w3", "w5", "mid"],
    },
]


@pytest.mark.parametrize("shape", range(-2, len(SHAPES)))
def test_no_line_is_hidden_behind_a_box(shape: int, tmp_path: Path) -> None:
    configs = ["partner_exchange", "blog_cross_role"]
    job = (
        made(SHAPES[shape], tmp_path)
        if shape >= 0
        else api.load(CONFIGS / f"{configs[shape]}.yaml")
    )
    picture = ET.fromstring(graph.render_svg(api.plan(job)))
    boxes = {
        group.get("id", ""): tuple(
            float(box.get(name, "")) for name in ("x", "y", "width", "height")
        )
        for group in picture.findall(f"{SVG}g")
        for box in group.findall(f"{SVG}rect")
    }
    lines = [list(trace_path(path.get("d", ""))) for path in picture.findall(f"{SVG}path")]
    expected = [(need, step.id) for step in job.steps for need in step.needs]
    assert len(lines) == len(expected)
    for (need, step), line in zip(expected, lines):
        (x1, y1, w1, h1), (x2, y2, w2, _) = boxes[f"step-{need}"], boxes[f"step-{step}"]
        assert line[0] == (x1 + w1 // 2, y1 + h1)
        assert line[-1] == (x2 + w2 // 2, y2)
        for id_, (x, y, w, h) in boxes.items():
            inside = [point for point in line if x < point[0] < x + w and y < point[1] < y + h]
            assert not inside, f"{need} -> {step} goes through {id_} at {inside[0]}"
        assert all(
            0 <= px <= float(picture.get("width", ""))
            and 0 <= py <= float(picture.get("height", ""))
            for px, py in line
        )


def test_mermaid_has_a_node_a_step_an_edge_a_need_and_a_class_a_role() -> None:
    job = api.load(CONFIGS / "partner_exchange.yaml")
    text = graph.render_mermaid(api.plan(job))
    nodes = dict(re.findall(r'^    (s\d+)\["([^"]*)"\]:::r\d+$', text, re.MULTILINE))
    ids = {node: label.split("<br/>")[0] for node, label in nodes.items()}
    assert list(ids.values()) == [step.id for step in job.steps]
    edges = {
        (ids[start], ids[end])
        for start, end in re.findall(r"^    (s\d+) --> (s\d+)$", text, re.MULTILINE)
    }
    assert edges == {(need, step.id) for step in job.steps for need in step.needs}
    classes = dict(re.findall(r":::(r\d+)$|^    classDef (r\d+) ", text, re.MULTILINE))
    assert {used for used in classes if used} == set(
        re.findall(r"^    classDef (r\d+) fill", text, re.MULTILINE)
    )
    role_class = {
        ids[node]: used
        for node, used in re.findall(r"^    (s\d+)\[.*:::(r\d+)$", text, re.MULTILINE)
    }
    assert role_class["find"] == role_class["fetch"]
    assert role_class["publish"] == role_class["mark"]
    assert len({role_class[step] for step in ("find", "clean", "publish")}) == 3
    assert "as partner" in nodes["s0"]
    assert "as " not in nodes["s2"], "clean has no role"
