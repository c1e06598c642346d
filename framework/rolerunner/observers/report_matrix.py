"""Renders the items of a group as a matrix: a row for each item, a column for each step."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rolerunner.common.units import format_duration, format_size
from rolerunner.common.wording import format_count
from rolerunner.observers.matrix import ColumnTotal, add_up_columns, describe_statuses
from rolerunner.observers.report_markup import (
    NUMBER,
    STATUS_MARKS,
    name_status,
    render_table,
    step_anchor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.observers.report_document import ReportedItem, ReportedStep


def render_matrix(group: ReportedStep) -> str:
    """Renders the items and steps of a group, with the totals of each step."""
    totals = add_up_columns(group.items)
    columns = [("item", False), *((escape(each.name), False) for each in totals), ("took", True)]
    rows = "".join(_render_item(item) for item in group.items)
    size = f"{format_count(len(group.items), 'item')}, {format_count(len(totals), 'step')} each"
    table = render_table(columns, rows, _render_totals(totals))
    return f"<h3>{escape(group.id)}: {size}</h3>{table}"


def _render_item(item: ReportedItem) -> str:
    cells = "".join(_render_cell(step) for step in item.steps)
    seconds = format_duration(sum(step.seconds for step in item.steps))
    mark = ' class="is-trouble"' if any(step.error for step in item.steps) else ""
    head = f'<th scope="row">{escape(item.item)}</th>'
    return f"<tr{mark}>{head}{cells}<td{NUMBER}>{seconds}</td></tr>\n"


def _render_cell(step: ReportedStep) -> str:
    """Renders a status with its mark, the time, and the number of objects."""
    count = step.number("count")
    parts = [
        *([format_duration(step.seconds)] if step.attempts else []),
        *([f"{count:,.0f}"] if count is not None else []),
    ]
    text = f"{STATUS_MARKS.get(step.status, '')} {', '.join(parts) or name_status(step.status)}"
    roles = " and ".join(step.role_names)
    title = f"{name_status(step.status)} as {roles}" if roles else name_status(step.status)
    return (
        f'<td id="{step_anchor(step)}" title="{escape(title)}">'
        f'<span class="status {escape(step.status)}">{escape(text)}</span></td>'
    )


def _render_totals(totals: Sequence[ColumnTotal]) -> str:
    rows: list[tuple[str, Callable[[ColumnTotal], str]]] = [
        ("total", lambda each: describe_statuses(each.statuses)),
        ("took", lambda each: format_duration(each.seconds)),
        ("objects", lambda each: "" if each.count is None else f"{each.count:,.0f}"),
        ("bytes", lambda each: "" if each.bytes is None else format_size(each.bytes)),
    ]
    return "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(f"<td>{escape(text(each))}</td>" for each in totals)
        + "<td></td></tr>\n"
        for name, text in rows
        if any(text(each) for each in totals)
    )
