"""Renders the tables of the report: roles and steps."""

from __future__ import annotations

import json
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from rolerunner.common.units import format_duration, format_size
from rolerunner.observers.matrix import count_statuses, describe_statuses
from rolerunner.observers.report_markup import (
    render_cells,
    render_section,
    render_status,
    render_table,
    step_anchor,
)
from rolerunner.observers.report_matrix import render_matrix
from rolerunner.step_ids import StepId, inner_id, is_inside_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.observers.report_document import ReportedRole, ReportedStep, ResultDocument

_ROLE_COLUMNS = (
    ("role", False),
    ("session, as CloudTrail shows it", False),
    ("AssumeRole calls", True),
    ("bytes moved", True),
)
_STEP_COLUMNS = (
    *((name, False) for name in ("step", "action", "role", "status")),
    *((name, True) for name in ("tries", "start", "took", "objects", "bytes", "per second")),
    ("more", False),
)
_CHOICE = (
    '<input type="radio" name="shown" id="all" checked> <label for="all">all steps</label>'
    '<input type="radio" name="shown" id="only-trouble"> '
    '<label for="only-trouble">only those with errors</label>'
)


def render_roles(result: ResultDocument) -> str:
    """Renders the sessions of a run; empty if it had none."""
    if not result.roles:
        return ""
    moved: Counter[str] = Counter()
    for step in result.action_steps:
        for role in step.role_names:
            one = f"{role} for {_name_for_all_items(step.id)}"
            moved.update({role: int(step.bytes_moved), one: int(step.bytes_moved)})
    rows = "".join(_render_role(role, moved) for role in result.roles)
    return render_section("roles", "Roles", render_table(_ROLE_COLUMNS, rows, name="list"))


def _render_role(role: ReportedRole, moved: Counter[str]) -> str:
    name = f"{role.role} for {role.step}" if role.step else role.role
    session = escape(role.session_arn or role.arn)
    calls, size = str(role.assume_calls), format_size(moved[name])
    cells = [escape(name), f"<code>{session}</code>", calls, size]
    return f"<tr>{render_cells(_ROLE_COLUMNS, cells)}</tr>\n"


def render_steps(steps: Sequence[ReportedStep]) -> str:
    """Renders the table of all steps."""
    rows = "".join(f"{_render_step(step)}\n" for step in steps)
    choice = _CHOICE if any(step.error for step in steps) else ""
    groups = "".join(render_matrix(step) for step in steps if step.items)
    table = render_table(_STEP_COLUMNS, rows, name="list")
    return render_section("steps", "Steps", f"{choice}{table}{groups}")


def _name_for_all_items(step_id: str) -> str:
    """Returns the id of a step inside a group without its item: items share its session."""
    name = StepId.parse(step_id) if is_inside_group(step_id) else None
    return step_id if name is None else inner_id(name.step, name.inner)


def _render_step(step: ReportedStep) -> str:
    roles = "<br>".join(map(escape, step.role_names)) or "-"
    texts = [escape(step.action), roles, render_status(step.status)]
    cells = [escape(step.id), *texts, *_format_numbers(step), _render_details(step)]
    mark = ' class="is-trouble"' if step.error else ""
    return f'<tr id="{step_anchor(step)}"{mark}>{render_cells(_STEP_COLUMNS, cells)}</tr>'


def _format_numbers(step: ReportedStep) -> list[str]:
    count, size = step.number("count"), step.number("bytes")
    return [
        str(step.attempts),
        "-" if step.start is None else format_duration(step.start),
        format_duration(step.seconds),
        "-" if count is None else f"{count:,.0f}",
        "-" if size is None else format_size(size),
        format_size(step.bytes_moved / step.seconds)
        if step.bytes_moved and step.seconds > 0
        else "-",
    ]


def _render_details(step: ReportedStep) -> str:
    reason = escape(step.reason)
    if step.items:
        return reason or describe_statuses(count_statuses(step.items))
    if not step.outputs:
        return reason
    text = escape(json.dumps(step.outputs, indent=1, ensure_ascii=False, default=str))
    return f"{reason}<details><summary>outputs</summary><pre>{text}</pre></details>"
