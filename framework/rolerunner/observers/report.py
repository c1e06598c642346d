"""Renders a result as a self-contained HTML page: errors, a timeline by role, bytes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional

from pydantic import BaseModel, ConfigDict, ValidationError

from rolerunner.actions import find_action
from rolerunner.common.files import write_file
from rolerunner.common.json_values import json_value
from rolerunner.common.wording import format_count
from rolerunner.errors import UsageError
from rolerunner.observers.result import ResultFile
from rolerunner.observers.units import format_duration, format_size, sum_numbers
from rolerunner.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = Path(__file__).with_name("report.css")
_MARKS = {
    "succeeded": "✓",
    "warning": "!",
    "failed": "✗",
    "skipped": "-",
    "not_run": "·",
    "stopped": "■",
}
_WORDS = {"not_run": "not run"}
_TICKS = 6
_LAST_TICK = 0.93
"""Ticks beyond this share of the width have no room for their text."""
_TOLD = 5
"""Number of errors shown at once; the others are collapsed."""
_ROW = 1.4
"""Height of a bar and the gap below it, in rem."""


class ReportPage(ResultFile):
    """Writes the report when the run ends."""

    @classmethod
    def at(cls, path: Path) -> ReportPage:
        """Creates an observer that writes a local file atomically."""
        return cls(lambda data: write_file(path, data, private=True))

    def encode(self, result: dict[str, Any]) -> bytes:
        """Returns the page as bytes."""
        return render_page(result).encode()


class _Read(BaseModel):
    """A part of a result file; unknown fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True)


class ErrorRecord(_Read):
    """The error or warning of a step."""

    type: str = ""
    message: str = ""
    hint: str = ""


class StepRecord(_Read):
    """The result of a step, in seconds; ``start`` is relative to the run's start."""

    id: str
    action: str
    role: str = ""
    status: str
    attempts: int = 0
    seconds: float = 0.0
    start: Optional[float] = None
    outputs: dict[str, Any] = {}
    error: Optional[ErrorRecord] = None
    reason: str = ""

    @property
    def end(self) -> float:
        """Returns the end, in seconds after the run's start."""
        return (self.start or 0.0) + self.seconds

    @property
    def moved(self) -> float:
        """Bytes that it transferred, not those that it listed or deleted."""
        return self.number("bytes") or 0.0 if self.counts_transfers else 0.0

    @property
    def counts_transfers(self) -> bool:
        """True unless the action's counts are of listed or deleted objects."""
        action = find_action(self.action)
        return action is None or action.counts_transfers

    def number(self, output: str) -> Optional[float]:
        """Returns a numeric output, or the sum over items."""
        return sum_numbers(self.outputs.get(output))


class RoleRecord(_Read):
    """The session of a role."""

    role: str
    arn: str = ""
    session_arn: str = ""
    assume_calls: int = 0
    step: str = ""
    """The step with its own session; empty for a shared session."""


class ResultDocument(_Read):
    """A result file, version 1."""

    version: Literal[1]
    run_id: str
    job: str
    status: str
    started: str
    seconds: float
    roles: list[RoleRecord]
    steps: list[StepRecord]
    error: Optional[ErrorRecord] = None
    """Error that kept all steps from starting."""


def render_page(result: Any) -> str:
    """Renders a result document as HTML. Raises UsageError if it is invalid."""
    try:
        read = ResultDocument.model_validate(
            redact(json_value(result, most_values=sys.maxsize, most_text=sys.maxsize))
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        raise UsageError(
            f"not a result file: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        ) from None
    steps = _with_starts(read.steps)
    body = [
        _head(read),
        _facts(read),
        _whole_trouble(read),
        _trouble(steps),
        _timeline(steps, read.seconds),
        _roles(read),
        _steps(steps),
    ]
    style = _STYLE.read_text(encoding="utf-8")
    return _PAGE.format(
        title=escape(f"{read.job}: {_word(read.status)}"),
        style=style,
        body="\n".join(part for part in body if part),
    )


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


def _with_starts(steps: Sequence[StepRecord]) -> list[StepRecord]:
    """Returns the steps with ``start``; if the file has none, steps are laid out in sequence."""
    if any(step.start is not None for step in steps):
        return list(steps)
    placed, now = [], 0.0
    for step in steps:
        ran = step.status not in ("skipped", "not_run")
        placed.append(step.model_copy(update={"start": now}) if ran else step)
        now += step.seconds if ran else 0
    return placed


def _head(result: ResultDocument) -> str:
    return (
        f"<header><h1>{escape(result.job)}</h1>{_status(result.status)}</header>\n"
        f'<p class="quiet">run <code>{escape(result.run_id)}</code>, started <time>{escape(result.started)}</time></p>'
    )


def _status(status: str) -> str:
    return f'<span class="status {escape(status)}">{_MARKS.get(status, "")} {escape(_word(status))}</span>'


def _word(status: str) -> str:
    return _WORDS.get(status, status)


def _facts(result: ResultDocument) -> str:
    counts = Counter(step.status for step in result.steps)
    said = (
        ", ".join(f"{counts[status]} {_word(status)}" for status in _MARKS if counts[status])
        or "none"
    )
    moved = [step for step in result.steps if step.counts_transfers]
    facts = [
        ("took", format_duration(result.seconds)),
        (format_count(len(result.steps), "step"), said),
        ("moved", format_size(sum(step.moved for step in moved))),
        ("objects", f"{sum(step.number('count') or 0 for step in moved):,.0f}"),
        (
            format_count(len(result.roles), "role"),
            format_count(sum(role.assume_calls for role in result.roles), "AssumeRole call"),
        ),
    ]
    return (
        "<dl>"
        + "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts
        )
        + "</dl>"
    )


def _whole_trouble(result: ResultDocument) -> str:
    if result.error is None:
        return ""
    hint = f"<p>What to do:</p><pre>{escape(result.error.hint)}</pre>" if result.error.hint else ""
    return (
        '<section><h2 id="why">Why the run could not start</h2>\n'
        f'<article class="trouble failed"><h3>{escape(result.error.type)}</h3><pre>{escape(result.error.message)}</pre>{hint}</article>\n</section>'
    )


def _trouble(steps: Sequence[StepRecord]) -> str:
    worst_first = sorted(
        (step for step in steps if step.error is not None), key=lambda step: step.status != "failed"
    )
    articles = [_one_trouble(step, step.error) for step in worst_first if step.error is not None]
    if not articles:
        return ""
    more = articles[_TOLD:]
    folded = [f"<details><summary>{len(more)} more</summary>", *more, "</details>"] if more else []
    return "\n".join(
        [
            '<section><h2 id="trouble">What went wrong</h2>',
            *articles[:_TOLD],
            *folded,
            "</section>",
        ]
    )


def _one_trouble(step: StepRecord, error: ErrorRecord) -> str:
    hint = f"<p>What to do:</p><pre>{escape(error.hint)}</pre>" if error.hint else ""
    under = f" under <code>{escape(step.role)}</code>" if step.role else ""
    return (
        f'<article class="trouble {escape(step.status)}"><h3>{_status(step.status)}: '
        f'<a href="#{_anchor(step)}">{escape(step.id)}</a> ({escape(error.type)})</h3>'
        f'<p class="quiet">{escape(step.action)}{under}</p><pre>{escape(error.message)}</pre>{hint}</article>'
    )


def _anchor(step: StepRecord) -> str:
    return f"step-{escape(step.id)}"


def _timeline(steps: Sequence[StepRecord], seconds: float) -> str:
    ran = [step for step in steps if step.start is not None]
    if not ran:
        return ""
    end = max([seconds, *(step.end for step in ran)]) or 1.0
    lanes: dict[str, list[StepRecord]] = {}
    for step in ran:
        lanes.setdefault(step.role or "no role", []).append(step)
    rows = "\n".join(
        f'<div class="name">{escape(role)}</div>{_lane(mine, end)}' for role, mine in lanes.items()
    )
    ticks = "".join(
        f'<span class="tick" style="left:{at / end:.4%}">{format_duration(at)}</span>'
        for at in _ticks(end)
    )
    return (
        '<section><h2 id="time">Timeline by role</h2>\n'
        '<p class="quiet">Each bar is a step. The table below lists the same values.</p>\n'
        f'<div class="time" aria-hidden="true"><div class="name">role</div><div class="lane">{ticks}</div>\n{rows}</div></section>'
    )


def _lane(steps: Sequence[StepRecord], end: float) -> str:
    """Renders the bars of a role; overlapping steps are stacked."""
    free: list[float] = []
    bars = []
    for step in sorted(steps, key=lambda each: each.start or 0.0):
        start = step.start or 0.0
        row = next((number for number, until in enumerate(free) if until <= start), len(free))
        free[row : row + 1] = [step.end]
        place = (
            f"left:{start / end:.4%};width:{step.seconds / end:.4%};top:{0.4 + row * _ROW:.1f}rem"
        )
        label = f"{step.id}: {_word(step.status)}, {format_duration(step.seconds)}"
        bars.append(
            f'<a class="bar {escape(step.status)}" tabindex="-1" href="#{_anchor(step)}" title="{escape(label)}" style="{place}"></a>'
        )
    return f'<div class="lane" style="height:{0.4 + len(free) * _ROW:.1f}rem">{"".join(bars)}</div>'


def _ticks(end: float) -> list[float]:
    """Returns about six round times."""
    rough = end / _TICKS
    step = next((each for each in _STEPS if each >= rough), _STEPS[-1])
    while end / step > 2 * _TICKS:
        step *= 2
    return [
        number * step for number in range(int(end / step) + 1) if number * step < end * _LAST_TICK
    ]


_STEPS = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
)


def _roles(result: ResultDocument) -> str:
    if not result.roles:
        return ""
    moved: Counter[str] = Counter()
    for step in result.steps:
        moved.update({step.role: int(step.moved), f"{step.role} for {step.id}": int(step.moved)})
    named = [(use, f"{use.role} for {use.step}" if use.step else use.role) for use in result.roles]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(use.session_arn or use.arn)}</code></td>'
        f'<td class="number">{use.assume_calls}</td><td class="number">{format_size(moved[name])}</td></tr>\n'
        for use, name in named
    )
    head = _header("role", "session, as CloudTrail shows it", "AssumeRole calls", "bytes moved")
    return f'<section><h2 id="roles">Roles</h2><div class="wide"><table>{head}<tbody>\n{rows}</tbody></table></div></section>'


def _header(*names: str) -> str:
    numbers = (
        "AssumeRole calls",
        "bytes moved",
        "tries",
        "start",
        "took",
        "objects",
        "bytes",
        "per second",
    )
    cells = "".join(
        f'<th scope="col"{_NUMBER if name in numbers else ""}>{name}</th>' for name in names
    )
    return f"<thead><tr>{cells}</tr></thead>"


_NUMBER = ' class="number"'


def _steps(steps: Sequence[StepRecord]) -> str:
    chooser = (
        '<input type="radio" name="shown" id="all" checked> <label for="all">all steps</label>'
        '<input type="radio" name="shown" id="only-trouble"> <label for="only-trouble">only those with errors</label>'
    )
    head = _header(
        "step",
        "action",
        "role",
        "status",
        "tries",
        "start",
        "took",
        "objects",
        "bytes",
        "per second",
        "more",
    )
    rows = "\n".join(map(_step, steps))
    choice = chooser if any(step.error for step in steps) else ""
    return f'<section><h2 id="steps">Steps</h2>{choice}<div class="wide"><table>{head}<tbody>\n{rows}\n</tbody></table></div></section>'


def _step(step: StepRecord) -> str:
    count, size = step.number("count"), step.number("bytes")
    numbers = [
        str(step.attempts),
        "-" if step.start is None else format_duration(step.start),
        format_duration(step.seconds),
        "-" if count is None else f"{count:,.0f}",
        "-" if size is None else format_size(size),
        format_size(step.moved / step.seconds) if step.moved and step.seconds > 0 else "-",
    ]
    texts = [escape(step.action), escape(step.role) or "-", _status(step.status)]
    cells = [
        *(f"<td>{text}</td>" for text in texts),
        *(f"<td{_NUMBER}>{text}</td>" for text in numbers),
        f"<td>{_more(step)}</td>",
    ]
    wrong = ' class="is-trouble"' if step.error else ""
    return f'<tr id="{_anchor(step)}"{wrong}><th scope="row">{escape(step.id)}</th>{"".join(cells)}</tr>'


def _more(step: StepRecord) -> str:
    if not step.outputs:
        return escape(step.reason)
    text = json.dumps(step.outputs, indent=1, ensure_ascii=False, default=str)
    return f"{escape(step.reason)}<details><summary>outputs</summary><pre>{escape(text)}</pre></details>"
