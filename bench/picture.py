"""The medians as a picture: a panel for each work, a bar for each tool."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from results import OURS

if TYPE_CHECKING:
    from results import Results, Series

COLUMNS, WIDTH, MARGIN, GAP = 2, 960, 24, 32
BAR, ROW, HEAD, TOP = 14, 26, 34, 66
NAME, VALUE = 134, 112
"""Pixels for the tools' names left of a bar, and for the figures right of it."""
OUR_COLOUR, OTHER_COLOUR, CPU_COLOUR = "#0f766e", "#94a3b8", "#1e293b"


def svg(results: Results, setting: str) -> str:
    """Draws wall time as bars with CPU time as a thin line in each, for one setting.

    Each panel has its own scale, from zero.
    """
    panels = [results.of(work, each) for work, each in results.pairs() if each == setting]
    panels = [panel for panel in panels if panel]
    if not panels:
        return ""
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    heights = [HEAD + ROW * max(len(panel) for panel in row) + 18 for row in rows]
    height = TOP + sum(heights) + MARGIN
    width = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) // COLUMNS
    parts = [_frame(height, next(iter(panels[0].values())).setting_title)]
    top = TOP
    for row, tall in zip(rows, heights):
        for column, panel in enumerate(row):
            parts += _panel(panel, MARGIN + column * (width + GAP), top, width)
        top += tall
    return "\n".join([*parts, "</svg>", ""])


def _frame(height: int, setting: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" '
        'font-size="12">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>\n'
        f'<text x="{MARGIN}" y="30" font-size="16" font-weight="600" fill="{CPU_COLOUR}">Seconds '
        f"for the whole command, {escape(setting)}: "
        "shorter is better</text>\n"
        f'<rect x="{MARGIN}" y="42" width="22" height="10" fill="{OTHER_COLOUR}"/><text '
        f'x="{MARGIN + 28}" y="51" fill="#475569">wall time</text>\n'
        f'<rect x="{MARGIN + 96}" y="45" width="22" height="4" fill="{CPU_COLOUR}"/>'
        f'<text x="{MARGIN + 124}" y="51" fill="#475569">CPU time of the client</text>'
    )


def _panel(panel: dict[str, Series], left: int, top: int, width: int) -> list[str]:
    title = next(iter(panel.values())).title
    longest = max(max(series.median.wall, series.median.cpu) for series in panel.values())
    room = width - NAME - VALUE
    parts = [
        (
            f'<text x="{left}" y="{top + 18}" font-size="13" font-weight="600" '
            f'fill="{CPU_COLOUR}">{escape(title[0].upper() + title[1:])}</text>'
        )
    ]
    for place, (tool, series) in enumerate(panel.items()):
        cost, y, ours = series.median, top + HEAD + place * ROW, tool.startswith(OURS)
        weight = ' font-weight="600"' if ours else ""
        long = max(room * cost.wall / longest, 1)
        cpu = f'<tspan fill="#64748b" font-weight="400">({_figure(cost.cpu)} CPU)</tspan>'
        figures = f"{_figure(cost.wall)} s {cpu}"
        parts += [
            (f'<text x="{left + NAME - 8}" y="{y + 11}" text-anchor="end" '
            f'fill="{CPU_COLOUR}"{weight}>{escape(tool)}</text>'),
            (f'<rect x="{left + NAME}" y="{y}" width="{long:.1f}" height="{BAR}" '
            f'fill="{OUR_COLOUR if ours else OTHER_COLOUR}"/>'),
            (f'<rect x="{left + NAME}" y="{y + BAR / 2 - 2:.0f}" '
            f'width="{max(room * cost.cpu / longest, 1):.1f}" height="4" fill="{CPU_COLOUR}"/>'),
            (f'<text x="{left + NAME + max(long, room * cost.cpu / longest) + 6:.1f}" y="{y + 11}" '
            f'fill="{CPU_COLOUR}"{weight}>{figures}</text>'),
        ]  # fmt: skip
    return parts


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
