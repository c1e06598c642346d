"""The drawings of a plan: nodes, lines, roles and text that needs escaping."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from rolerunner.model import Job, Notification, Plan, PlannedNotification, Role, Step
from rolerunner.plan.graph import render_mermaid, render_svg

READER = Role("arn:aws:iam::111122223333:role/reader", "reader")
WRITER = Role("arn:aws:iam::111122223333:role/writer", "writer")


def step(name: str, *needs: str, **more: Any) -> Step:
    return Step(name, more.pop("action", "s3.list"), {}, needs=needs, **more)


def plan(*steps: Step, name: str = "nightly") -> Plan:
    return Plan(Job(name, steps), (), ())


def boxes(svg: str) -> dict[str, tuple[int, int]]:
    """Step -> the corner of its box."""
    found = re.findall(r'<g class="step" id="step-(\w+)">.*?<rect x="(\d+)" y="(\d+)"', svg)
    return {name: (int(x), int(y)) for name, x, y in found}


def test_mermaid_has_a_node_for_each_step_and_a_class_for_each_role() -> None:
    drawn = render_mermaid(
        plan(
            step("find", roles={"role": READER}),
            step("copy", "find", roles={"role": WRITER, "source_role": READER}),
            step("all", "find", "copy", for_each=["a"], when="always"),
        )
    )
    assert (
        drawn
        == """\
flowchart TD
    s0["find<br/>s3.list<br/>as reader"]:::r0
    s1["copy<br/>s3.list<br/>as writer, reader"]:::r1
    s2["all<br/>s3.list, for each item, always"]:::r2
    s0 --> s1
    s0 --> s2
    s1 --> s2
    classDef r0 fill:#cfe8f7,stroke:#555
    classDef r1 fill:#fde3bd,stroke:#555
    classDef r2 fill:#c8ecdf,stroke:#555
"""
    )


def test_targets_that_are_told_follow_the_last_steps() -> None:
    webhook = Notification(("failed",), "webhook", "https://hooks.example.com/x", number=2)
    topic = Notification(("failed", "refused"), "sns", "arn:aws:sns:eu-west-1:1:ops", WRITER)
    told = tuple(map(PlannedNotification, (topic, webhook)))
    drawn = replace(plan(step("find"), step("copy", "find"), step("mark", "find")), notify=told)
    text = render_mermaid(drawn)
    assert (
        '    s4(["sns arn:aws:sns:eu-west-1:1:ops<br/>on failed, refused<br/>as writer"])' in text
    )
    assert "s1 -.-> s3" in text
    assert "s2 -.-> s3" in text
    assert "s3 -.-> s5" in text
    assert "s0 -.-> s3" not in text
    assert "hooks.example.com" not in text
    svg = render_svg(drawn)
    assert svg.count('<g class="notify"') == 3
    assert svg.count("stroke-dasharray") == 4
    assert "hooks.example.com" not in svg
    ET.fromstring(svg)


def test_a_plan_without_steps_is_drawn_empty() -> None:
    assert render_mermaid(plan()) == "flowchart TD\n"
    assert boxes(render_svg(plan())) == {}


def test_text_is_escaped() -> None:
    role = Role('a"<b>', "")
    assert 'as a#quot;&lt;b&gt;"]' in render_mermaid(plan(step("a", roles={"role": role})))
    svg = render_svg(plan(step("a", roles={"role": role}), name="<j>"))
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title") == "<j>"
    assert [text.text for text in root.iter(f"{space}text")] == ["a", "s3.list", 'as a"<b>']


def test_rows_are_the_longest_paths_and_columns_the_order_of_the_file() -> None:
    svg = render_svg(
        plan(step("d", "c", "a"), step("a"), step("b"), step("c", "a"), step("e", "d", "b"))
    )
    assert boxes(svg) == {
        "a": (20, 20),
        "b": (280, 20),
        "c": (20, 120),
        "d": (20, 220),
        "e": (20, 320),
    }
    assert 'width="560" height="394"' in svg


def test_lines_that_skip_a_row_run_between_the_columns() -> None:
    svg = render_svg(plan(step("a"), step("b", "a"), step("c", "b", "a")))
    paths = re.findall(r'<path class="need" d="([^"]*)"', svg)
    assert paths == [
        "M135 74C135 97 135 97 135 120",
        "M135 174C135 197 135 197 135 220",
        "M135 74V78H256V201H135V220",
    ]


@pytest.mark.parametrize(("length", "shown"), [(32, "x" * 32), (33, "x" * 31 + "…")])
def test_a_long_text_is_shortened_in_its_box_and_whole_in_its_title(
    length: int, shown: str
) -> None:
    svg = render_svg(plan(step("x" * length)))
    assert f'font-weight="bold">{shown}</text>' in svg
    assert f"<title>{'x' * length}: s3.list</title>" in svg


def test_colours_are_repeated_after_eight_roles() -> None:
    steps = [
        step(f"s{n}", roles={"role": Role(f"arn:aws:iam::111122223333:role/{n}")}) for n in range(9)
    ]
    fills = re.findall(r'rx="6" fill="(#\w+)"', render_svg(plan(*steps)))
    assert len(set(fills)) == 8
    assert fills[0] == fills[8]
