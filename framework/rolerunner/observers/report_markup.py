"""Pieces of HTML that several parts of the report use."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.observers.report_document import ReportedStep

STATUS_MARKS = {
    "succeeded": "✓",
    "warning": "!",
    "failed": "✗",
    "skipped": "-",
    "not_run": "·",
    "stopped": "■",
}
_WORDS = {"not_run": "not run"}
NUMBER = ' class="number"'
"""Attribute of a table cell that holds a number."""


def name_status(status: str) -> str:
    """Returns a status in words."""
    return _WORDS.get(status, status)


def render_status(status: str) -> str:
    """Renders a status with its mark."""
    text = f"{STATUS_MARKS.get(status, '')} {escape(name_status(status))}"
    return f'<span class="status {escape(status)}">{text}</span>'


def step_anchor(step: ReportedStep) -> str:
    """Returns the id of a step's row in the table of steps."""
    return f"step-{escape(step.id)}"


def render_section(anchor: str, title: str, content: str) -> str:
    """Renders a section of the page. ``content`` is HTML."""
    return f'<section><h2 id="{anchor}">{title}</h2>{content}</section>'


def render_cells(columns: Sequence[tuple[str, bool]], cells: Sequence[str]) -> str:
    """Renders the cells of a row, the first as its head. ``cells`` are HTML.

    Each carries the name of its column, which narrow screens show in front of it.
    """
    (_, first), *others = zip(columns, cells)
    return f'<th scope="row">{first}</th>' + "".join(
        f'<td data-label="{name}"{NUMBER if is_number else ""}>{cell}</td>'
        for (name, is_number), cell in others
    )


def render_table(
    columns: Sequence[tuple[str, bool]], rows: str, foot: str = "", *, name: str = "matrix"
) -> str:
    """Renders a table. A column is a name, and whether it holds numbers; ``foot`` has totals.

    On narrow screens each row of a table of the class ``list`` becomes a block, and the first
    column of a ``matrix`` stays in sight.
    """
    cells = "".join(
        f'<th scope="col"{NUMBER if is_number else ""}>{name}</th>' for name, is_number in columns
    )
    head = f"<thead><tr>{cells}</tr></thead>"
    body = f"<tbody>\n{rows}</tbody>" + (f"<tfoot>\n{foot}</tfoot>" if foot else "")
    return f'<div class="wide"><table class="{name}">{head}{body}</table></div>'


def render_message(message: str, hint: str) -> str:
    """Renders the message of an error, and its hint, if any."""
    remedy = f"<p>What to do:</p><pre>{escape(hint)}</pre>" if hint else ""
    return f"<pre>{escape(message)}</pre>{remedy}"
