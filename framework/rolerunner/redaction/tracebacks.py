"""Tracebacks, log records and errors without secrets."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from typing import Any, Optional, TextIO, Union

from rolerunner.redaction.redact import redact_text


def redact_error(error: Any) -> None:
    """Redacts a RolerunnerError in place, before it is sent to a process that knows no secrets."""
    error.message, error.hint = redact_text(error.message), redact_text(error.hint)
    error.args = (error.message,)


def redact_tracebacks() -> None:
    """Redacts what Python itself prints: unhandled exceptions, also of threads, and warnings."""
    sys.excepthook = lambda kind, error, trace: _print_traceback("", kind, error, trace)
    threading.excepthook = lambda args: _print_traceback(
        f"Exception in thread {args.thread.name if args.thread else ''}:\n",
        args.exc_type,
        args.exc_value,
        args.exc_traceback,
    )
    sys.unraisablehook = _print_unraisable
    warnings.showwarning = _print_warning


def _print_traceback(head: str, kind: Any, error: Any, trace: Any) -> None:
    if kind is not SystemExit:
        _print_text(head + "".join(traceback.format_exception(kind, error, trace)))


def _print_unraisable(args: sys.UnraisableHookArgs) -> None:
    """Prints an exception that no code can catch, such as one of a finalizer."""
    name = getattr(args.object, "__qualname__", type(args.object).__name__)
    head = f"{args.err_msg or 'Exception ignored in'}: {name}\n"
    _print_traceback(head, args.exc_type, args.exc_value, args.exc_traceback)


def _print_warning(
    message: Union[Warning, str],
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Optional[TextIO] = None,
    line: Optional[str] = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if file is None:
        _print_text(text)
    else:
        file.write(redact_text(text))


def _print_text(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(redact_text(text))


def format_message(record: logging.LogRecord) -> str:
    """Returns a record's message, also if its arguments do not fit it.

    ``logging`` would print such arguments on stderr as they are.
    """
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - conversions of arguments raise anything
        return f"{record.msg} {record.args!r}"


class RedactingFormatter(logging.Formatter):
    """Formats log records without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as text."""
        record.msg, record.args = format_message(record), ()
        return redact_text(super().format(record))
