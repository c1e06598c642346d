"""The growth of costs as a picture: a line for each work, on logarithmic scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results import Results

    Line = list[tuple[int, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 64, 190, 56, 44
COLOURS = ("#0f766e", "#b45309", "#1d4ed8", "#be123c", "#6d28d9")


def growth_svg(results: Results) -> str:
    """Draws CPU time less that of a start over the number of objects, both as logarithms."""
    lines = {
        each.title: [(n, each.net(n)) for n in each.counts if each.net(n) > 0]
        for each in results.growth
    }
    lines = {title: line for title, line in lines.items() if line}
    if not lines:
        return ""
    points = [point for line in lines.values() for point in line]
    axes = _Axes(_decades([n for n, _ in points]), _decades([seconds for _, seconds in points]))
    return "\n".join([*_frame(), *_grid(axes), *_curves(lines, axes), "</svg>", ""])


@dataclass(frozen=True)
class _Axes:
    """The first and the last power of ten of objects, and of seconds."""

    objects: tuple[int, int]
    seconds: tuple[int, int]

    def x(self, decade: float) -> float:
        low, high = self.objects
        return LEFT + (decade - low) / max(high - low, 1) * (WIDTH - LEFT - RIGHT)

    def y(self, decade: float) -> float:
        low, high = self.seconds
        return HEIGHT - BOTTOM - (decade - low) / max(high - low, 1) * (HEIGHT - TOP - BOTTOM)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def _frame() -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, '
        'sans-serif" font-size="12">'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
    yield (
        '<text x="24" y="30" font-size="16" font-weight="600" fill="#1e293b">CPU seconds without '
        "the start, over the number of objects</text>"
    )


def _grid(axes: _Axes) -> Iterator[str]:
    first, last = axes.objects
    for decade in range(first, last + 1):
        place = f'x="{axes.x(decade):.0f}" y="{HEIGHT - BOTTOM + 20}"'
        yield f'<text {place} text-anchor="middle" fill="#475569">{10**decade:,}</text>'
    first, last = axes.seconds
    for decade in range(first, last + 1):
        y, right = axes.y(decade), WIDTH - RIGHT
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e2e8f0"/>'
        place = f'x="{LEFT - 8}" y="{y + 4:.1f}"'
        yield f'<text {place} text-anchor="end" fill="#475569">{10.0**decade:g}</text>'


def _curves(lines: dict[str, Line], axes: _Axes) -> Iterator[str]:
    """Yields each line with its title at its end; titles keep a distance."""
    title_y = 0.0
    colours = dict(zip(lines, COLOURS * len(lines)))
    for title, line in sorted(lines.items(), key=lambda each: -each[1][-1][1]):
        places = [(axes.x(math.log10(n)), axes.y(math.log10(seconds))) for n, seconds in line]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = colours[title]
        yield f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>'
        title_y = max(places[-1][1] + 4, title_y + 15)
        place = f'x="{places[-1][0] + 8:.0f}" y="{title_y:.0f}"'
        yield f'<text {place} fill="{colour}">{escape(title)}</text>'
