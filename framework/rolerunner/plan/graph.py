"""Renders a plan as Mermaid text, or as a self-contained SVG."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from rolerunner.model import Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.model import Plan

# Okabe and Ito's palette, lightened, which colour-blind readers can distinguish.
_COLOURS = ("#cfe8f7", "#fde3bd", "#c8ecdf", "#f6d5e5", "#fbf3b5", "#d6d9f4", "#f9d3c0", "#e4e4e4")
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 230, 54, 30, 46, 20
_LONGEST = 32
_END = "end of the run"
_MAX_LINES = 4
"""Number of lines side by side between two columns."""


def render_mermaid(plan: Plan) -> str:
    """Returns the steps and who is told as a Mermaid flowchart with a class for each role."""
    steps = expand_groups(plan.job.steps)
    targets = list_targets(plan, steps)
    number = {step.id: f"s{position}" for position, step in enumerate([*steps, *targets])}
    roles = _number_roles([*steps, *targets])
    lines = ["flowchart TD"]
    for position, top in enumerate(plan.job.steps):
        nodes = []
        for step in top.steps or (top,):
            label = "<br/>".join(_escape_mermaid(text) for text in _list_texts(step))
            nodes.append(f'    {number[step.id]}["{label}"]:::r{roles[_name_roles(step)]}')
        title = _escape_mermaid(f"{top.id}, for each item")
        lines += _draw_subgraph(f"g{position}", title, nodes) if top.steps else nodes
    for step in targets:
        label = "<br/>".join(_escape_mermaid(text) for text in _list_texts(step))
        lines.append(f'    {number[step.id]}(["{label}"]):::r{roles[_name_roles(step)]}')
    for arrow, drawn in (("-->", steps), ("-.->", targets)):
        lines += [
            f"    {number[need]} {arrow} {number[step.id]}" for step in drawn for need in step.needs
        ]
    lines += [
        f"    classDef r{index} fill:{_COLOURS[index % len(_COLOURS)]},stroke:#555"
        for index in roles.values()
    ]
    return "\n".join(lines) + "\n"


def expand_groups(steps: Sequence[Step]) -> list[Step]:
    """Returns the steps with an action: the steps of a group stand in its place.

    The first of them wait for what the group needs, and what needs the group waits for the last.
    """
    ends = {step.id: _find_ends(step) for step in steps}
    expanded = []
    for step in steps:
        needs = tuple(end for need in step.needs for end in ends[need])
        inner = [
            replace(each, needs=each.needs or needs, for_each=step.for_each) for each in step.steps
        ]
        expanded += inner or [replace(step, needs=needs)]
    return expanded


def list_targets(plan: Plan, steps: Sequence[Step]) -> list[Step]:
    """Returns the end of the run and each target that is told of it, as steps to draw.

    ``steps`` are those of ``expand_groups``. The list is empty for a job that tells nobody.
    """
    if not plan.notify:
        return []
    needed = {need for step in steps for need in step.needs}
    ends = tuple(step.id for step in steps if step.id not in needed)
    found = [Step(_END, "tells", {}, needs=ends)]
    for planned in plan.notify:
        told = planned.notification
        roles = {} if told.role is None else {"role": told.role}
        found.append(Step(told.label, f"on {', '.join(told.on)}", {}, roles=roles, needs=(_END,)))
    return found


def _find_ends(step: Step) -> tuple[str, ...]:
    """Returns the last steps of a group, which no other one waits for, or the step itself."""
    needed = {need for each in step.steps for need in each.needs}
    return tuple(each.id for each in step.steps if each.id not in needed) or (step.id,)


def _draw_subgraph(name: str, title: str, nodes: Sequence[str]) -> list[str]:
    return [f'    subgraph {name}["{title}"]', *(f"    {node}" for node in nodes), "    end"]


def render_svg(plan: Plan) -> str:
    """Returns the steps as an SVG.

    The row of a step is the length of the longest path to it. Lines lead from the steps that it
    waits for, around all other boxes.
    """
    steps = expand_groups(plan.job.steps)
    targets = list_targets(plan, steps)
    places = _place_boxes([*steps, *targets])
    roles = _number_roles([*steps, *targets])
    width = max((x for x, _ in places.values()), default=0) + _WIDTH + _GAP_X + _MARGIN
    height = max((y for _, y in places.values()), default=0) + _HEIGHT + _MARGIN
    lines = [*_draw_lines(steps, places, "need"), *_draw_lines(targets, places, "notify")]
    boxes = [
        _draw_box(step, places[step.id], _COLOURS[roles[_name_roles(step)] % len(_COLOURS)], kind)
        for kind, drawn in (("step", steps), ("notify", targets))
        for step in drawn
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(plan.job.title)}</title>"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
    )
    return "\n".join([head, *lines, *boxes, "</svg>"]) + "\n"


def _name_roles(step: Step) -> str:
    return ", ".join(dict.fromkeys(str(role) for role in step.all_roles))


def _number_roles(steps: Sequence[Step]) -> Mapping[str, int]:
    names = dict.fromkeys(_name_roles(step) for step in steps)
    return {name: index for index, name in enumerate(names)}


def _list_texts(step: Step) -> list[str]:
    role = _name_roles(step)
    loop = ", for each item" if step.for_each is not None else ""
    when = "" if step.when == "on_success" else f", {step.when}"
    return [step.id, step.action + loop + when, *([f"as {role}"] if role else [])]


def _escape_mermaid(text: str) -> str:
    return escape(text).replace('"', "#quot;")


def _place_boxes(steps: Sequence[Step]) -> Mapping[str, tuple[int, int]]:
    """Returns the upper left corner of each step's box, in pixels."""
    level: dict[str, int] = {}
    waiting = list(steps)
    while waiting:  # needs have no cycle, so each round places at least one step
        ready = [step for step in waiting if all(need in level for need in step.needs)]
        level.update(
            {step.id: max((level[need] + 1 for need in step.needs), default=0) for step in ready}
        )
        waiting = [step for step in waiting if step.id not in level]
    taken: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for step in steps:
        row = level[step.id]
        column = taken.get(row, 0)
        taken[row] = column + 1
        places[step.id] = (_MARGIN + column * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y))
    return places


def _draw_lines(
    steps: Sequence[Step], places: Mapping[str, tuple[int, int]], kind: str
) -> list[str]:
    """Returns a line for each need; one that skips a row runs between two columns."""
    lines, skipping = [], 0
    for step in steps:
        for need in step.needs:
            start, end = places[need], places[step.id]
            skips = end[1] - start[1] > _HEIGHT + _GAP_Y
            lines.append(
                _draw_path(
                    _draw_detour(start, end, skipping % _MAX_LINES)
                    if skips
                    else _draw_curve(start, end),
                    kind,
                )
            )
            skipping += skips
    return lines


def _draw_curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH // 2, start[1] + _HEIGHT, end[0] + _WIDTH // 2, end[1]
    bend = (y2 - y1) // 2
    return f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"


def _draw_detour(start: tuple[int, int], end: tuple[int, int], track: int) -> str:
    """Returns a path through the gap to the right of the left column."""
    x1, y1, x2, y2 = start[0] + _WIDTH // 2, start[1] + _HEIGHT, end[0] + _WIDTH // 2, end[1]
    x = min(start[0], end[0]) + _WIDTH + (track + 1) * _GAP_X // (_MAX_LINES + 1)
    out = (
        (track + 1) * _GAP_Y // (2 * (_MAX_LINES + 1))
    )  # each track has its own height, so that lines do not overlap
    return f"M{x1} {y1}V{y1 + out}H{x}V{y2 - _GAP_Y // 2 + out}H{x2}V{y2}"


def _draw_path(drawn: str, kind: str) -> str:
    style = 'fill="none" stroke="#555" stroke-linejoin="round" marker-end="url(#arrow)"'
    dashes = ' stroke-dasharray="4 3"' if kind == "notify" else ""
    return f'<path class="{kind}" d="{drawn}" {style}{dashes}/>'


def _draw_box(step: Step, place: tuple[int, int], colour: str, kind: str) -> str:
    x, y = place
    texts = _list_texts(step)
    rows = "".join(_draw_text(x, y, row, text) for row, text in enumerate(texts))
    size = f'width="{_WIDTH}" height="{_HEIGHT}" rx="{6 if kind == "step" else 18}"'
    rectangle = f'<rect x="{x}" y="{y}" {size} fill="{colour}" stroke="#555"/>'
    title = f"<title>{escape(': '.join(texts))}</title>"
    name = quoteattr(f"{kind}-{step.id}")
    return f'<g class="{kind}" id={name}>{title}{rectangle}{rows}</g>'


def _draw_text(x: float, y: float, row: int, text: str) -> str:
    weight = ' font-weight="bold"' if row == 0 else ""
    return (
        f'<text x="{x + 10}" y="{y + 17 + 15 * row}"{weight}>{escape(_shorten_text(text))}</text>'
    )


def _shorten_text(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
