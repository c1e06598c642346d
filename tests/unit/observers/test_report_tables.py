"""The tables of the report: bytes by role, numbers of steps."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rolerunner.observers.report_document import ReportedRole, ReportedStep, ResultDocument
from rolerunner.observers.report_tables import render_roles, render_steps


def step(name: str, **more: Any) -> ReportedStep:
    values = {"id": name, "action": "s3.copy", "status": "succeeded", "role": "reader", **more}
    return ReportedStep.model_validate(values)


def cells(html: str) -> list[list[str]]:
    """The text of each row's cells, without their tags."""
    rows = re.findall(r"(?s)<tr.*?</tr>", html.partition("<tbody>")[2])
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"(?s)<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_bytes_are_those_of_the_roles_steps() -> None:
    document = ResultDocument(
        version=1,
        run_id="r",
        job="j",
        status="succeeded",
        started="",
        seconds=1,
        roles=[
            ReportedRole(role="reader", arn="arn:r", session_arn="arn:<s>", assume_calls=2),
            ReportedRole(role="writer", arn="arn:w"),
            ReportedRole(role="reader", step="b", assume_calls=1),
        ],
        steps=[
            step("a", outputs={"bytes": 1024}),
            step("b", outputs={"bytes": 512}),
            step("c", action="s3.list", outputs={"bytes": 99}),
        ],
    )
    assert cells(render_roles(document)) == [
        ["reader", "arn:&lt;s&gt;", "2", "1.5 KiB"],
        ["writer", "arn:w", "0", "0 B"],
        ["reader for b", "", "1", "512 B"],
    ]
    assert render_roles(document.model_copy(update={"roles": []})) == ""


@pytest.mark.parametrize(
    ("more", "row"),
    [
        (
            {"attempts": 2, "start": 1.5, "seconds": 2, "outputs": {"count": 1234, "bytes": 2048}},
            ["2", "1.5 s", "2 s", "1,234", "2.0 KiB", "1.0 KiB"],
        ),
        ({}, ["0", "-", "0 s", "-", "-", "-"]),
        ({"outputs": {"bytes": 5}}, ["0", "-", "0 s", "-", "5 B", "-"]),
        (
            {"action": "s3.list", "seconds": 1, "outputs": {"count": 0, "bytes": 5}},
            ["0", "-", "1 s", "0", "5 B", "-"],
        ),
    ],
)
def test_numbers_of_a_step(more: dict[str, Any], row: list[str]) -> None:
    (found,) = cells(render_steps([step("a", **more)]))
    assert found[4:10] == row


def test_a_step_without_a_role_and_with_outputs_or_a_reason() -> None:
    html = render_steps([step("<a>", role="", reason="'when'", outputs={"x": "<y>"})])
    (row,) = cells(html)
    assert row[:4] == ["&lt;a&gt;", "s3.copy", "-", "✓ succeeded"]
    assert "&#x27;when&#x27;<details><summary>outputs</summary><pre>{\n" in html
    assert "&quot;x&quot;: &quot;&lt;y&gt;&quot;" in html


def test_steps_with_errors_can_be_shown_alone_if_there_are_any() -> None:
    error = {"type": "X", "message": "m"}
    html = render_steps([step("a"), step("b", error=error)])
    assert 'id="only-trouble"' in html
    assert re.findall(r'<tr id="step-(\w+)"( class="is-trouble")?>', html) == [
        ("a", ""),
        ("b", ' class="is-trouble"'),
    ]
    assert "only-trouble" not in render_steps([step("a")])
    assert cells(render_steps([])) == []
