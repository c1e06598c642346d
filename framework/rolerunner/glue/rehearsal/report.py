"""Renders the outcomes of rehearsals as text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Optional

from rolerunner.common.wording import align_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.glue.rehearsal.rehearsal import Rehearsal

HEADINGS = (
    "runtime",
    "Python",
    "starts offline",
    "boto3",
    "installs in",
    "starts in",
    "memory",
    "job",
)


def render_text(rehearsals: Sequence[Rehearsal]) -> str:
    """Returns a table, and below it why runtimes failed, with the end of their logs."""
    rows = [HEADINGS, *(_list_cells(each) for each in rehearsals)]
    lines = align_columns(rows)
    for each in rehearsals:
        if each.reason:
            lines += ["", f"{each.runtime}: {each.reason}"]
            lines += [f"    {line}" for line in each.log]
    return "\n".join(lines)


def render_json(rehearsals: Sequence[Rehearsal]) -> str:
    """Returns all fields of the outcomes."""
    return json.dumps([asdict(each) for each in rehearsals], indent=2)


def _list_cells(each: Rehearsal) -> tuple[str, ...]:
    boto3 = each.boto3 if each.boto3_is_provided or not each.boto3 else f"{each.boto3} (shipped)"
    return (
        each.runtime,
        each.python,
        "yes" if each.starts else "no",
        boto3 or "-",
        f"{each.install_seconds:.1f} s",
        _format_number(each.start_seconds if each.starts else None, ".1f", " s"),
        _format_number(each.memory_mb, ".0f", " MB"),
        "succeeded" if each.succeeded else "failed",
    )


def _format_number(number: Optional[float], form: str, unit: str) -> str:
    return "-" if number is None else f"{number:{form}}{unit}"
