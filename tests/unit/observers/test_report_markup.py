"""Pieces of HTML: text is escaped, statuses have marks and words."""

from __future__ import annotations

import pytest

from rolerunner.observers.report_document import ReportedStep
from rolerunner.observers.report_markup import (
    render_cells,
    render_message,
    render_section,
    render_status,
    render_table,
    step_anchor,
)


@pytest.mark.parametrize(
    ("status", "html"),
    [
        ("succeeded", '<span class="status succeeded">✓ succeeded</span>'),
        ("not_run", '<span class="status not_run">· not run</span>'),
        ("<new>", '<span class="status &lt;new&gt;"> &lt;new&gt;</span>'),
    ],
)
def test_statuses(status: str, html: str) -> None:
    assert render_status(status) == html


def test_the_anchor_of_a_step_is_escaped() -> None:
    step = ReportedStep(id='a"<', action="s3.list", status="failed")
    assert step_anchor(step) == "step-a&quot;&lt;"


@pytest.mark.parametrize(
    ("message", "hint", "html"),
    [
        ("a<b", "", "<pre>a&lt;b</pre>"),
        ("a", "b&c", "<pre>a</pre><p>What to do:</p><pre>b&amp;c</pre>"),
    ],
)
def test_messages(message: str, hint: str, html: str) -> None:
    assert render_message(message, hint) == html


def test_sections_and_tables() -> None:
    assert render_section("x", "X", "<p>") == '<section><h2 id="x">X</h2><p></section>'
    assert render_table([("a", False), ("b", True)], "<tr>") == (
        '<div class="wide"><table class="matrix"><thead><tr><th scope="col">a</th>'
        '<th scope="col" class="number">b</th></tr></thead><tbody>\n<tr></tbody></table></div>'
    )


def test_cells_carry_the_names_of_their_columns() -> None:
    assert render_cells([("a", False), ("b", True), ("c", False)], ["x", "1", "<p>"]) == (
        '<th scope="row">x</th><td data-label="b" class="number">1</td><td data-label="c"><p></td>'
    )
