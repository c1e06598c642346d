"""Draws the steps in progress on a terminal, one line each. Imports rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from rolerunner.common.wording import format_count
from rolerunner.observers.progress_text import format_progress
from rolerunner.observers.transfer_rate import ProgressMeter

if TYPE_CHECKING:
    from rich.console import Console

    from rolerunner.events import StepProgress

_REFRESHES = 8
"""Drawings a second."""
_MIN_NAME = 12
"""Columns of the step's id where the terminal is narrow."""
_BARS = ((100, 20), (60, 10), (0, 0))
"""Columns of the bar, for terminals of so many columns and more."""
_OTHER_LINES = 4
"""Lines of the terminal that are left to what was printed last."""


class ProgressLines:
    """The lines of the steps in progress, below what the run prints.

    A line never wraps: it leaves out what does not fit, and a long id ends with an ellipsis.
    """

    def __init__(self, console: Console, *, has_unicode: bool) -> None:
        self._console = console
        self._has_unicode = has_unicode
        self._meters: dict[str, ProgressMeter] = {}
        self._spinner = Spinner("dots" if has_unicode else "line")
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=_REFRESHES,
            transient=True,
        )

    def start(self) -> None:
        """Starts drawing."""
        self._live.start()

    def stop(self) -> None:
        """Removes the lines."""
        self._live.stop()

    def add_step(self, step_id: str) -> None:
        """Adds a step that starts."""
        self._meters = {**self._meters, step_id: ProgressMeter()}

    def update(self, progress: StepProgress) -> None:
        """Takes the progress of a step."""
        meter = self._meters.get(progress.step_id)
        if meter is not None:
            meter.update(progress)

    def remove_step(self, step_id: str) -> None:
        """Removes a step that ended."""
        self._meters = {name: each for name, each in self._meters.items() if name != step_id}

    def _render(self) -> Text:
        """Returns the lines. Called from the thread that draws."""
        meters, width = self._meters, self._console.width - 1  # the last column may wrap
        room = max(self._console.height - _OTHER_LINES, 1)
        shown = list(meters.items())[:room]
        longest = max((len(name) for name, _ in shown), default=0)
        columns = min(longest, max(width // 3, _MIN_NAME))
        lines = [self._render_line(name, meter, columns, width) for name, meter in shown]
        more = len(meters) - len(shown)
        if more:
            lines[-1:] = [Text(f"  and {format_count(more + 1, 'more step')}", style="dim")]
        return Text("\n").join(lines)

    def _render_line(self, name: str, meter: ProgressMeter, columns: int, width: int) -> Text:
        line = Text(no_wrap=True, end="")
        spinner = self._spinner.render(self._console.get_time())
        line.append_text(spinner if isinstance(spinner, Text) else Text("*"))
        line.append(f" {self._cut(name, columns):<{columns}} ")
        share = meter.share
        bar = next(columns for least, columns in _BARS if width + 1 >= least)
        if share is not None and bar:
            line.append_text(self._render_bar(share, bar)).append(" ")
        line.append(format_progress(meter, width - line.cell_len))
        line.truncate(width, overflow="ellipsis" if self._has_unicode else "crop")
        return line

    def _cut(self, name: str, columns: int) -> str:
        """Returns an id of at most so many columns."""
        mark = "…" if self._has_unicode else "..."
        return name if len(name) <= columns else name[: columns - len(mark)] + mark

    def _render_bar(self, share: float, columns: int) -> Text:
        done = round(share * columns)
        full, rest = ("━", "━") if self._has_unicode and not self._console.no_color else ("#", "-")
        return Text(full * done, style="cyan").append(rest * (columns - done), style="bright_black")


def is_animated(console: Console) -> bool:
    """Returns True if lines can be redrawn: on a terminal that is not dumb."""
    return console.file.isatty() and not console.is_dumb_terminal
