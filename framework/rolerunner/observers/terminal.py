"""Shows a run on a terminal: steps, progress and a final table. The only importer of rich."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Optional

from rich.console import Console
from rich.markup import escape

from rolerunner.common.units import format_size, sum_numbers
from rolerunner.common.wording import format_count
from rolerunner.events import (
    Event,
    Note,
    RoleAssumed,
    RoleWasRefused,
    RunFinished,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
)
from rolerunner.model import GROUP
from rolerunner.observers.matrix import (
    count_statuses,
    describe_statuses,
)
from rolerunner.observers.progress_text import format_progress
from rolerunner.observers.result import to_plain_outputs
from rolerunner.observers.terminal_progress import ProgressLines, is_animated
from rolerunner.observers.terminal_tables import (
    STATUS_STYLES,
    build_group_table,
    build_roles_table,
    build_steps_table,
    to_safe_markup,
)
from rolerunner.observers.transfer_rate import SparseProgress
from rolerunner.redaction.redact import redact
from rolerunner.redaction.tracebacks import RedactingFormatter
from rolerunner.step_ids import is_inside_group

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:
    _StreamHandler = logging.StreamHandler  # generic at run time from Python 3.11 on

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.model import StepResult

_SYMBOLS = {"succeeded": "✓", "warning": "!", "failed": "✗", "skipped": "-", "not_run": "-"}
_ASCII_SYMBOLS = {**_SYMBOLS, "succeeded": "+", "failed": "x"}
"""Symbols for terminals without Unicode."""
_FILE_WIDTH = 160
_PRINT_SECONDS = 10.0
"""Seconds between two lines on the progress of a step, where lines cannot be redrawn."""


class Terminal:
    """Shows a run on a terminal."""

    def __init__(self, console: Optional[Console] = None) -> None:
        self._console = console or Console(
            highlight=False,
            emoji=False,
            soft_wrap=True,
            width=None if sys.stdout.isatty() else _FILE_WIDTH,
        )
        _install_warning_handler()
        self._has_unicode = self._console.encoding.startswith("utf")
        self._lines = (
            ProgressLines(self._console, has_unicode=self._has_unicode)
            if is_animated(self._console)
            else None
        )
        self._printed_progress = SparseProgress(_PRINT_SECONDS)
        self._handlers: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            RoleAssumed: self._role_assumed,
            RoleWasRefused: self._role_refused,
            StepStarted: self._step_started,
            StepProgress: self._step_progress,
            StepFinished: self._step_finished,
            Note: self._print_note,
            RunFinished: self._run_finished,
        }

    def notify(self, event: Event) -> None:
        """Handles an event."""
        handle = self._handlers.get(type(event))
        if handle is not None:
            handle(event)

    def _print_line(self, text: str) -> None:
        self._console.print(text)

    def _run_started(self, event: RunStarted) -> None:
        steps, roles = (
            format_count(len(event.plan.job.action_steps), "step"),
            format_count(len(event.plan.roles), "role"),
        )
        self._print_line(
            f"[bold]{event.plan.job.title}[/] [dim]run {event.run_id}: {steps}, {roles}[/]"
        )
        if self._lines is not None:
            self._lines.start()

    def _role_assumed(self, event: RoleAssumed) -> None:
        details = f"{to_safe_markup(event.session_arn)} in {event.seconds * 1000:.0f} ms"
        self._print_line(f"  [cyan]role[/] {escape(event.role)} [dim]assumed as {details}[/]")

    def _role_refused(self, event: RoleWasRefused) -> None:
        refusal = event.refusal
        details = f"[dim]{to_safe_markup(refusal.type)}[/]"
        self._print_line(f"  [red]role {escape(refusal.role)} refused[/] {details}")

    def _step_started(self, event: StepStarted) -> None:
        if self._lines is not None:
            self._lines.add_step(event.step.id)
        else:
            self._printed_progress.add_step(event.step.id)

    def _step_progress(self, event: StepProgress) -> None:
        if self._lines is not None:
            self._lines.update(event)
            return
        meter = self._printed_progress.update(event)
        if meter is not None:
            self._print_line(f"  {escape(event.step_id)}: [dim]{format_progress(meter)}[/]")

    def _step_finished(self, event: StepFinished) -> None:
        result = event.result
        if self._lines is not None:
            self._lines.remove_step(result.id)
        else:
            self._printed_progress.remove_step(result.id)
        if result.error is None and (result.status == "not_run" or is_inside_group(result.id)):
            return  # the table at the end has it
        style, sign = (
            STATUS_STYLES[result.status],
            (_SYMBOLS if self._has_unicode else _ASCII_SYMBOLS)[result.status],
        )
        names = " and ".join(result.role_names)
        under = f" as {names}" if names else ""
        details = f"[dim]{result.action}{escape(under)}, {result.seconds:.2f} s[/]"
        outputs = format_outputs(result)
        self._print_line(f"[{style}]{sign} {escape(result.id)}[/] {details} {outputs}")
        error = result.error
        if error is not None:
            message = to_safe_markup(error.message)
            self._print_line(f"    [{style}]{to_safe_markup(error.type)}[/]: {message}")
            self._print_hint(error.hint)

    def _print_note(self, event: Note) -> None:
        values = " ".join(f"{key}={value}" for key, value in redact(dict(event.values)).items())
        step = f"  [dim]{escape(event.step_id)}:[/] " if event.step_id else ""
        self._print_line(
            f"  {step}{to_safe_markup(event.message)} [dim]{to_safe_markup(values)}[/]"
        )

    def _run_finished(self, event: RunFinished) -> None:
        if self._lines is not None:
            self._lines.stop()
        result = event.result
        symbols = _SYMBOLS if self._has_unicode else _ASCII_SYMBOLS
        groups = [build_group_table(step, symbols) for step in result.steps if step.items]
        for table in (build_steps_table(result), *groups, build_roles_table(result)):
            self._print_line("")
            self._console.print(table)
        self._print_line("")
        style = STATUS_STYLES.get(result.status, "red")
        self._print_line(f"[{style} bold]{result.status}[/] in {result.seconds:.2f} s")

    def _print_hint(self, hint: str) -> None:
        for line in hint.splitlines():
            self._print_line(f"      [dim]{to_safe_markup(line)}[/]")


class _WarningHandler(_StreamHandler):
    """Writes warnings of the standard library's loggers to stderr, redacted."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self.setFormatter(RedactingFormatter())


def _install_warning_handler() -> None:
    root = logging.getLogger()
    root.handlers[:] = [
        handler for handler in root.handlers if not isinstance(handler, _WarningHandler)
    ]
    root.addHandler(_WarningHandler())


_HIDDEN_IF_ZERO = frozenset({"skipped", "deleted"})


def format_outputs(result: StepResult) -> str:
    """Returns a step's outputs as one line; for a group, how many items ended in which way."""
    if result.action == GROUP:
        return describe_statuses(count_statuses(result.items))
    shown = redact(to_plain_outputs(result.outputs))
    whole = {
        name: value if isinstance(value, (str, bool)) else sum_numbers(value)
        for name, value in shown.items()
    }
    outputs = {
        name: value
        for name, value in whole.items()
        if value is not None and (value != 0 or name not in _HIDDEN_IF_ZERO)
    }
    texts = [
        f"{name}={format_size(float(value)) if name == 'bytes' else value}"
        for name, value in outputs.items()
    ]
    if not texts and result.outputs:
        texts = [f"{name}={value}" for name, value in shown.items()]
    return to_safe_markup(" ".join(texts))
