"""Renders a result as a self-contained HTML page: errors, a timeline by role, bytes."""

from __future__ import annotations

import sys
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rolerunner.common.files import write_file
from rolerunner.common.json_values import json_value
from rolerunner.common.units import format_duration, format_size
from rolerunner.common.wording import escape_controls, format_count
from rolerunner.errors import UsageError
from rolerunner.observers.report_document import (
    ReportedError,
    ReportedStep,
    ResultDocument,
    list_action_steps,
)
from rolerunner.observers.report_markup import (
    STATUS_MARKS,
    name_status,
    render_message,
    render_section,
    render_status,
    step_anchor,
)
from rolerunner.observers.report_tables import render_roles, render_steps
from rolerunner.observers.report_timeline import place_steps, render_timeline
from rolerunner.observers.result import ResultFile
from rolerunner.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = Path(__file__).with_name("report.css")
_SHOWN_ERRORS = 5
"""Number of errors shown at once; the others are collapsed."""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


class ReportPage(ResultFile):
    """Writes the report when the run ends."""

    @classmethod
    def at(cls, path: Path) -> ReportPage:
        """Creates an observer that writes a local file atomically."""
        return cls(lambda data: write_file(path, data, private=True))

    def encode(self, result: dict[str, Any]) -> bytes:
        """Returns the page as bytes."""
        return render_page(result).encode()


def render_page(result: Any) -> str:
    """Renders a result document as HTML. Raises UsageError if it is invalid.

    Control characters, which HTML does not allow and which reverse the text after them, are shown.
    """
    document = _parse_document(result)
    steps = place_steps(document.steps)
    parts = [
        _render_head(document),
        _render_facts(document),
        _render_run_error(document),
        _render_errors(steps),
        render_timeline(steps, document.seconds),
        render_roles(document),
        render_steps(steps),
    ]
    page = _PAGE.format(
        title=escape(f"{document.title}: {name_status(document.status)}"),
        style=_STYLE.read_text(encoding="utf-8"),
        body="\n".join(part for part in parts if part),
    )
    return escape_controls(page)


def _parse_document(result: Any) -> ResultDocument:
    values = json_value(result, most_values=sys.maxsize, most_text=sys.maxsize)
    try:
        return ResultDocument.model_validate(redact(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        message = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise UsageError(f"not a result file: {place}: {message}") from None


def _render_head(result: ResultDocument) -> str:
    run, started = escape(result.run_id), escape(result.started)
    return (
        f"<header><h1>{escape(result.title)}</h1>{render_status(result.status)}</header>\n"
        f'<p class="quiet">run <code>{run}</code>, started <time>{started}</time></p>'
    )


def _render_facts(result: ResultDocument) -> str:
    steps = result.action_steps
    counts = Counter(step.status for step in steps)
    parts = [f"{counts[status]} {name_status(status)}" for status in STATUS_MARKS if counts[status]]
    moved = [step for step in steps if step.counts_transfers]
    calls = sum(role.assume_calls for role in result.roles)
    facts = [
        ("took", format_duration(result.seconds)),
        (format_count(len(steps), "step"), ", ".join(parts) or "none"),
        ("moved", format_size(sum(step.bytes_moved for step in moved))),
        ("objects", f"{sum(step.number('count') or 0 for step in moved):,.0f}"),
        (format_count(len(result.roles), "role"), format_count(calls, "AssumeRole call")),
    ]
    rows = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f"<dl>{''.join(rows)}</dl>"


def _render_run_error(result: ResultDocument) -> str:
    error = result.error
    if error is None:
        return ""
    article = (
        f'<article class="trouble failed"><h3>{escape(error.type)}</h3>'
        f"{render_message(error.message, error.hint)}</article>"
    )
    return render_section("why", "Why the run could not start", f"\n{article}\n")


def _render_errors(steps: Sequence[ReportedStep]) -> str:
    inner = [step for step in list_action_steps(steps) if step.error is not None]
    groups = [step for step in steps if step.items and not _has_inner_error(step)]
    worst_first = sorted([*inner, *groups], key=lambda step: step.status != "failed")
    articles = [_render_error(step, step.error) for step in worst_first if step.error is not None]
    if not articles:
        return ""
    more = articles[_SHOWN_ERRORS:]
    folded = [f"<details><summary>{len(more)} more</summary>", *more, "</details>"] if more else []
    content = "\n".join(["", *articles[:_SHOWN_ERRORS], *folded, ""])
    return render_section("trouble", "What went wrong", content)


def _has_inner_error(group: ReportedStep) -> bool:
    return any(step.error is not None for item in group.items for step in item.steps)


def _render_error(step: ReportedStep, error: ReportedError) -> str:
    roles = " and ".join(f"<code>{escape(role)}</code>" for role in step.role_names)
    under = f" under {roles}" if roles else ""
    link = f'<a href="#{step_anchor(step)}">{escape(step.id)}</a>'
    return (
        f'<article class="trouble {escape(step.status)}">'
        f"<h3>{render_status(step.status)}: {link} ({escape(error.type)})</h3>"
        f'<p class="quiet">{escape(step.action)}{under}</p>'
        f"{render_message(error.message, error.hint)}</article>"
    )
