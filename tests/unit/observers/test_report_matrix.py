"""The matrix of a group in the report: marks, numbers, totals, and texts that are not HTML."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rolerunner.observers.report_document import ReportedStep
from rolerunner.observers.report_matrix import render_matrix

HOSTILE = "<script>alert(1)</script>"


def make_step(item: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"g[{item}].fetch", "action": "s3.copy", "attempts": 1, "seconds": 1.0, **fields}


def render(*items: dict[str, Any]) -> str:
    group = {"id": "g", "action": "group", "status": "warning", "items": items}
    return render_matrix(ReportedStep.model_validate(group))


def texts(html: str) -> list[list[str]]:
    """Returns the text of each cell, row by row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


DONE = make_step("north", status="succeeded", outputs={"count": 1200, "bytes": 2_000_000})
FAILED = make_step("south", status="failed", seconds=0.5, error={"type": "T", "message": "no"})
NOT_RUN = make_step("west", status="not_run", attempts=0, seconds=0.0)


def test_a_row_for_each_item_and_the_totals_of_each_step() -> None:
    html = render(
        {"item": "north", "status": "succeeded", "steps": [DONE]},
        {"item": "south", "status": "failed", "steps": [FAILED]},
        {"item": "west", "status": "not_run", "steps": [NOT_RUN]},
    )
    assert html.startswith("<h3>g: 3 items, 1 step each</h3>")
    assert texts(html) == [
        ["item", "fetch", "took"],
        ["north", "✓ 1 s, 1,200", "1 s"],
        ["south", "✗ 0.5 s", "0.5 s"],
        ["west", "· not run", "0 s"],
        ["total", "1 succeeded, 1 failed, 1 not run", ""],
        ["took", "1.5 s", ""],
        ["objects", "1,200", ""],
        ["bytes", "1.9 MiB", ""],
    ]
    assert html.count('class="is-trouble"') == 1


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"role": "reader"}, "succeeded as reader"),
        (
            {"role": "reader", "roles": {"source_role": "reader", "target_role": "lake"}},
            "succeeded as reader and lake",
        ),
        ({}, "succeeded"),
    ],
)
def test_a_cell_names_the_roles_of_its_step(fields: dict[str, Any], title: str) -> None:
    step = make_step("a", status="succeeded", **fields)
    html = render({"item": "a", "status": "succeeded", "steps": [step]})
    assert f'<td id="step-g[a].fetch" title="{title}">' in html


def test_steps_that_count_nothing_have_no_lines_of_objects_and_bytes() -> None:
    html = render({"item": "a", "status": "succeeded", "steps": [make_step("a", status="skipped")]})
    assert [row[0] for row in texts(html)][-2:] == ["total", "took"]


def test_no_text_of_a_result_becomes_html() -> None:
    step = make_step(HOSTILE, status=HOSTILE, role=f'"{HOSTILE}')
    html = render({"item": HOSTILE, "status": HOSTILE, "steps": [step]})
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4
    assert re.search(r'title="[^"]*"', html)
