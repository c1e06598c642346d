"""A plan as a picture: Mermaid text, or an SVG that needs nothing else. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.model import Plan, Step

# Okabe and Ito's palette, lightened: told apart also by those who see colours otherwise.
_COLOURS = ("#cfe8f7", "#fde3bd", "#c8ecdf", "#f6d5e5", "#fbf3b5", "#d6d9f4", "#f9d3c0", "#e4e4e4")
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 230, 54, 30, 46, 20
_LONGEST = 32
_LANES = 4
"""Lines side by side in the gap between two columns."""


def render_mermaid(plan: Plan) -> str:
    """The steps as a Mermaid flowchart, a class for each role."""
    steps = plan.job.steps
    number = {step.id: f"s{position}" for position, step in enumerate(steps)}
    roles = _roles(plan)
    lines = ["flowchart TD"]
    for step in steps:
        label = "<br/>".join(_mermaid_text(text) for text in _texts(step))
        lines.append(f'    {number[step.id]}["{label}"]:::r{roles[_role(step)]}')
    lines += [f"    {number[need]} --> {number[step.id]}" for step in steps for need in step.needs]
    lines += [
        f"    classDef r{index} fill:{_COLOURS[index % len(_COLOURS)]},stroke:#555"
        for index in roles.values()
    ]
    return "\n".join(lines) + "\n"


def render_svg(plan: Plan) -> str:
    """The steps as an SVG: each as low as the longest way to it, with a line from each step it waits for, past all other boxes."""
    places = _places(plan)
    roles = _roles(plan)
    width = max((x for x, _ in places.values()), default=0) + _WIDTH + _GAP_X + _MARGIN
    height = max((y for _, y in places.values()), default=0) + _HEIGHT + _MARGIN
    lines = _lines(plan, places)
    boxes = [
        _box(step, places[step.id], _COLOURS[roles[_role(step)] % len(_COLOURS)])
        for step in plan.job.steps
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(plan.job.name)}</title>"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
    )
    return "\n".join([head, *lines, *boxes, "</svg>"]) + "\n"


def _role(step: Step) -> str:
    return ", ".join(dict.fromkeys(str(role) for role in step.roles.values()))


def _roles(plan: Plan) -> Mapping[str, int]:
    names = dict.fromkeys(_role(step) for step in plan.job.steps)
    return {name: index for index, name in enumerate(names)}


def _texts(step: Step) -> list[str]:
    role = _role(step)
    loop = ", for each item" if step.for_each is not None else ""
    when = "" if step.when == "on_success" else f", {step.when}"
    return [step.id, step.action + loop + when, *([f"as {role}"] if role else [])]


def _mermaid_text(text: str) -> str:
    return escape(text).replace('"', "#quot;")


def _places(plan: Plan) -> Mapping[str, tuple[int, int]]:
    """The left upper corner of each step's box, in pixels."""
    level: dict[str, int] = {}
    waiting = list(plan.job.steps)
    while waiting:  # needs have no circle: each round places at least one
        ready = [step for step in waiting if all(need in level for need in step.needs)]
        level.update(
            {step.id: max((level[need] + 1 for need in step.needs), default=0) for step in ready}
        )
        waiting = [step for step in waiting if step.id not in level]
    taken: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for step in plan.job.steps:
        row = level[step.id]
        column = taken.get(row, 0)
        taken[row] = column + 1
        places[step.id] = (_MARGIN + column * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y))
    return places


def _lines(plan: Plan, places: Mapping[str, tuple[int, int]]) -> list[str]:
    """A line for each need. One that skips a row goes down between two columns, where no row has a box."""
    lines, skipping = [], 0
    for step in plan.job.steps:
        for need in step.needs:
            start, end = places[need], places[step.id]
            skips = end[1] - start[1] > _HEIGHT + _GAP_Y
            lines.append(
                _path(_detour(start, end, skipping % _LANES) if skips else _straight(start, end))
            )
            skipping += skips
    return lines


def _straight(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH // 2, start[1] + _HEIGHT, end[0] + _WIDTH // 2, end[1]
    bend = (y2 - y1) // 2
    return f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"


def _detour(start: tuple[int, int], end: tuple[int, int], lane: int) -> str:
    """Out to the gap right of the column that is farther left, down, and back in above the end."""
    x1, y1, x2, y2 = start[0] + _WIDTH // 2, start[1] + _HEIGHT, end[0] + _WIDTH // 2, end[1]
    x = min(start[0], end[0]) + _WIDTH + (lane + 1) * _GAP_X // (_LANES + 1)
    out = (
        (lane + 1) * _GAP_Y // (2 * (_LANES + 1))
    )  # each lane at a height of its own, so that lines can be told apart
    return f"M{x1} {y1}V{y1 + out}H{x}V{y2 - _GAP_Y // 2 + out}H{x2}V{y2}"


def _path(drawn: str) -> str:
    return f'<path class="need" d="{drawn}" fill="none" stroke="#555" stroke-linejoin="round" marker-end="url(#arrow)"/>'


def _box(step: Step, place: tuple[int, int], colour: str) -> str:
    x, y = place
    texts = _texts(step)
    rows = "".join(
        f'<text x="{x + 10}" y="{y + 17 + 15 * row}"{" font-weight=" + quoteattr("bold") if row == 0 else ""}>{escape(_short(text))}</text>'
        for row, text in enumerate(texts)
    )
    rectangle = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{colour}" stroke="#555"/>'
    return f'<g class="step" id={quoteattr("step-" + step.id)}><title>{escape(": ".join(texts))}</title>{rectangle}{rows}</g>'


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
