"""Tracebacks, log records and errors without secrets."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import Any

from rolerunner.redaction.redact import redact_text


def redact_error(error: Any) -> None:
    """Redacts a RolerunnerError in place, before it is sent to a process that knows no secrets."""
    error.message, error.hint = redact_text(error.message), redact_text(error.hint)
    error.args = (error.message,)


def redact_tracebacks() -> None:
    """Redacts the tracebacks of unhandled exceptions, in every thread."""
    sys.excepthook = lambda kind, error, trace: _print_traceback("", kind, error, trace)
    threading.excepthook = lambda args: _print_traceback(
        f"Exception in thread {args.thread.name if args.thread else ''}:\n",
        args.exc_type,
        args.exc_value,
        args.exc_traceback,
    )


def _print_traceback(head: str, kind: Any, error: Any, trace: Any) -> None:
    if sys.stderr is not None and kind is not SystemExit:
        sys.stderr.write(
            redact_text(head + "".join(traceback.format_exception(kind, error, trace)))
        )


class RedactingFormatter(logging.Formatter):
    """Formats log records without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as text."""
        return redact_text(super().format(record))
