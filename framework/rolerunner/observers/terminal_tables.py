"""The tables at the end of a run on a terminal: steps, items of groups, roles. Imports rich."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Optional

from rich.cells import cell_len
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rolerunner.actions import find_action
from rolerunner.common.units import format_size, sum_numbers
from rolerunner.common.wording import escape_controls, format_count
from rolerunner.observers.matrix import ColumnTotal, add_up_columns
from rolerunner.redaction.redact import redact_text
from rolerunner.step_ids import local_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console, ConsoleOptions

    from rolerunner.model import ItemResult, RunResult, StepResult

STATUS_STYLES = {
    "succeeded": "green",
    "warning": "yellow",
    "failed": "red",
    "skipped": "dim",
    "not_run": "dim",
}
_MAX_ITEMS = 20
"""Items of a group that its table shows."""
_SEVERITY = {"failed": 0, "not_run": 1, "warning": 2}
"""The order in which items are shown where not all are."""


def build_steps_table(result: RunResult) -> Table:
    """Returns a table with a row per step."""
    table = _make_table("step", "role", "status", "seconds", "objects", "bytes", "error")
    for step in result.steps:
        count, size = _find_amounts(step)
        error = to_safe_markup(step.error.type) if step.error else ""
        table.add_row(
            _Name(step.id),
            _Name("\n".join(step.role_names)),
            f"[{STATUS_STYLES[step.status]}]{step.status}[/]",
            f"{step.seconds:.2f}",
            "" if count is None else f"{count:,}",
            "" if size is None else format_size(size),
            error,
        )
    return table


def _find_amounts(step: StepResult) -> tuple[Optional[float], Optional[float]]:
    """Returns the objects and bytes of a step; for a group, what its steps have in all."""
    if not step.items:
        return sum_numbers(step.outputs.get("count")), sum_numbers(step.outputs.get("bytes"))
    columns = add_up_columns(step.items)
    moved = [each for each in columns if _counts_transfers(step, each.name)]
    return sum_numbers([each.count for each in moved]), sum_numbers([each.bytes for each in moved])


def _counts_transfers(group: StepResult, name: str) -> bool:
    """Returns True if a step of the group counts what it moves, not what it lists or deletes."""
    inner = next(each for each in group.items[0].steps if local_name(each.id) == name)
    action = find_action(inner.action)
    return action is None or action.counts_transfers


def build_group_table(group: StepResult, symbols: Mapping[str, str]) -> Table:
    """Returns a table with a row for each item of a group, and the totals of each step."""
    columns = add_up_columns(group.items)
    table = _make_table(group.id, *(each.name for each in columns), "seconds")
    shown = _choose_items(group.items)
    for item in shown:
        cells = [_format_cell(step, symbols) for step in item.steps]
        table.add_row(_Name(item.item), *cells, f"{sum(each.seconds for each in item.steps):.2f}")
    more = len(group.items) - len(shown)
    if more:
        table.add_row(f"[dim]{format_count(more, 'more item')}[/]")
    table.add_row("[bold]total[/]", *(_format_statuses(each, symbols) for each in columns))
    for name, values in (
        ("objects", ["" if each.count is None else f"{each.count:,.0f}" for each in columns]),
        ("bytes", ["" if each.bytes is None else format_size(each.bytes) for each in columns]),
        ("seconds", [f"{each.seconds:.2f}" for each in columns]),
    ):
        if any(values):
            table.add_row(f"[dim]{name}[/]", *(f"[dim]{value}[/]" for value in values))
    return table


def _choose_items(items: Sequence[ItemResult]) -> list[ItemResult]:
    """Returns the items to show: all if they are few, else those with problems first."""
    if len(items) <= _MAX_ITEMS:
        return list(items)
    worst_first = sorted(items, key=lambda item: _SEVERITY.get(item.status, len(_SEVERITY)))
    chosen = {item.item for item in worst_first[:_MAX_ITEMS]}
    return [item for item in items if item.item in chosen]


def _format_cell(step: StepResult, symbols: Mapping[str, str]) -> str:
    count = sum_numbers(step.outputs.get("count"))
    number = "" if count is None else f" {count:,.0f}"
    return f"[{STATUS_STYLES[step.status]}]{symbols[step.status]}[/]{number}"


def _format_statuses(column: ColumnTotal, symbols: Mapping[str, str]) -> str:
    counts: Counter[str] = Counter()
    for status, count in column.statuses.items():
        counts[f"[{STATUS_STYLES[status]}]{symbols[status]}[/]"] += count
    return " ".join(f"{sign} {count:,}" for sign, count in counts.items())


def build_roles_table(result: RunResult) -> Table:
    """Returns a table with a row per role."""
    table = _make_table("role", "AssumeRole calls", "session, as CloudTrail shows it")
    for use in result.roles:
        table.add_row(
            _Name(f"{use.role} ({use.step})" if use.step else use.role),
            str(use.assume_calls),
            _Name(_to_safe_text(use.session_arn) or "-"),
        )
    return table


class _Name:
    """A cell with names, one on each line; in a narrow column they break between their words."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        words = [cell_len(word) for line in self._lines for word in _split_name(line)]
        return Measurement(max(words, default=0), max(map(cell_len, self._lines)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = [part for line in self._lines for part in wrap_name(line, options.max_width)]
        yield Text("\n".join(lines), overflow="fold")


def wrap_name(name: str, width: int) -> list[str]:
    """Returns the lines of a name, broken after its punctuation. A longer word stays whole."""
    lines = [""]
    for word in _split_name(name):
        if lines[-1] and cell_len((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return lines


def _split_name(name: str) -> list[str]:
    """Returns the words of a name, such as an id or an ARN, each with what separates it."""
    return re.findall(r"[^-_/:. ]*[-_/:. ]+|[^-_/:. ]+", name)


def _make_table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        right = name in ("seconds", "objects", "bytes", "AssumeRole calls")
        # names may wrap in a narrow terminal; numbers and statuses never do
        is_fixed = right or name == "status"
        table.add_column(
            name if is_fixed else _Name(name),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=is_fixed,
        )
    return table


def to_safe_markup(text: str) -> str:
    """Returns a text without secrets and control characters that rich shows as it is."""
    return escape(_to_safe_text(text))


def _to_safe_text(text: str) -> str:
    return escape_controls(redact_text(text))
