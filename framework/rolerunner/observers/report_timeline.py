"""Draws the timeline of the report: a lane for each role, a bar for each step."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rolerunner.common.units import format_duration
from rolerunner.observers.report_document import list_action_steps
from rolerunner.observers.report_markup import name_status, render_section, step_anchor
from rolerunner.step_ids import local_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.observers.report_document import ReportedStep

_TICKS = 6
_TICK_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400),
)
"""Round numbers of seconds between two ticks."""
_LAST_TICK = 0.93
"""Ticks beyond this share of the width have no room for their text."""
_MAX_BARS = 1000
_ROW = 1.4
"""Height of a bar and the gap below it, in rem."""


def place_steps(steps: Sequence[ReportedStep]) -> list[ReportedStep]:
    """Returns the steps with ``start``; if the file has none, steps are laid out in sequence."""
    if any(step.start is not None for step in steps):
        return list(steps)
    placed, now = [], 0.0
    for step in steps:
        ran = step.status not in ("skipped", "not_run")
        placed.append(step.model_copy(update={"start": now}) if ran else step)
        now += step.seconds if ran else 0
    return placed


def render_timeline(steps: Sequence[ReportedStep], seconds: float) -> str:
    """Renders the timeline of a run that took ``seconds``; empty if no step ran."""
    bars = list_action_steps(steps)
    ran = [step for step in bars if step.start is not None]
    if len(ran) > _MAX_BARS:  # a bar for each group, then
        ran = [step for step in steps if step.start is not None]
    if not ran:
        return ""
    end = max([seconds, *(step.end for step in ran)]) or 1.0
    lanes: dict[str, list[ReportedStep]] = {}
    for step in ran:
        lanes.setdefault(step.role or "no role", []).append(step)
    rows = "\n".join(
        f'<div class="name">{escape(role)}</div>{_render_lane(its_steps, end)}'
        for role, its_steps in lanes.items()
    )
    ticks = "".join(
        f'<span class="tick" style="left:{at / end:.4%}">{_format_tick(at)}</span>'
        for at in _choose_ticks(end)
    )
    head = f'<div class="name">role</div><div class="lane">{ticks}</div>'
    content = (
        '\n<p class="quiet">Each bar is a step. The table below lists the same values.</p>\n'
        f'<div class="time" aria-hidden="true">{head}\n{rows}</div>'
    )
    return render_section("time", "Timeline by role", content)


def _render_lane(steps: Sequence[ReportedStep], end: float) -> str:
    """Renders the bars of a role; overlapping steps are stacked."""
    free: list[float] = []
    bars = []
    for step in sorted(steps, key=lambda each: each.start or 0.0):
        start = step.start or 0.0
        row = next((number for number, until in enumerate(free) if until <= start), len(free))
        free[row : row + 1] = [step.end]
        bars.append(_render_bar(step, row, end))
    return f'<div class="lane" style="height:{0.4 + len(free) * _ROW:.1f}rem">{"".join(bars)}</div>'


def _render_bar(step: ReportedStep, row: int, end: float) -> str:
    left, width = f"{(step.start or 0.0) / end:.4%}", f"{step.seconds / end:.4%}"
    style = f"left:{left};width:{width};top:{0.4 + row * _ROW:.1f}rem"
    label = f"{step.id}: {name_status(step.status)}, {format_duration(step.seconds)}"
    link = f'tabindex="-1" href="#{step_anchor(step)}" title="{escape(label)}"'
    name = f"<span>{escape(local_name(step.id))}</span>"  # shown where the bar is wide enough
    return f'<a class="bar {escape(step.status)}" {link} style="{style}">{name}</a>'


def _format_tick(seconds: float) -> str:
    return format_duration(seconds).replace(".0 s", " s")


def _choose_ticks(end: float) -> list[float]:
    """Returns about six round times."""
    rough = end / _TICKS
    step = next((each for each in _TICK_STEPS if each >= rough), _TICK_STEPS[-1])
    while end / step > 2 * _TICKS:
        step *= 2
    times = [number * step for number in range(int(end / step) + 1)]
    return [time for time in times if time < end * _LAST_TICK]
